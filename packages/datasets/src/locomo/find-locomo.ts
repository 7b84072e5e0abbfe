import { mkdir, mkdtemp, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError, silentLogger } from "@memory-r1/spec";
import type { LoadDatasetOptions } from "../load-options.ts";
import { locomoRelease, verifyLocomo } from "./load-locomo.ts";

const fileName = "locomo10.json";
const howToGiveOne =
  `Give the folder that holds ${fileName} with --data-dir or the variable MEMORY_R1_DATA_DIR, ` +
  `or put ${locomoRelease.url} there by hand`;

async function pathKind(path: string): Promise<"file" | "folder" | "missing"> {
  try {
    return (await stat(path)).isDirectory() ? "folder" : "file";
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return "missing";
    throw new ConfigError(
      `${path} cannot be looked at: ${String(cause)}. Check its permissions.`,
      cause,
    );
  }
}

/** @throws ConfigError where the data folder itself is missing: a mistyped path must not end in a download. */
async function findInDataDirectory(dataDirectory: string): Promise<string | undefined> {
  const kind = await pathKind(dataDirectory);
  if (kind === "file") return dataDirectory;
  if (kind === "missing")
    throw new ConfigError(`${dataDirectory} does not exist. ${howToGiveOne}.`);
  for (const candidate of [
    join(dataDirectory, fileName),
    join(dataDirectory, "locomo", fileName),
  ]) {
    if ((await pathKind(candidate)) === "file") return candidate;
  }
  return undefined;
}

async function fetchOverHttp(url: string): Promise<Uint8Array> {
  const response = await fetch(url, { signal: AbortSignal.timeout(120_000) });
  if (!response.ok)
    throw new ConfigError(`${url} answered with HTTP status ${response.status}. ${howToGiveOne}.`);
  return new Uint8Array(await response.arrayBuffer());
}

/** `fetch` says "fetch failed" and hides what happened in `cause`. */
function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

/** Writes next to the target and renames, so that an interrupted download never looks like a file. */
async function writeAtomically(folder: string, file: string, bytes: Uint8Array): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    const temporary = await mkdtemp(join(folder, "download-"));
    try {
      await writeFile(join(temporary, fileName), bytes);
      await rename(join(temporary, fileName), file);
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  } catch (cause) {
    throw new ConfigError(
      `${folder} cannot be written: ${String(cause)}. Use a writable cache folder.`,
      cause,
    );
  }
}

/**
 * Path of the official LoCoMo file: `dataDirectory` (the file itself, or a folder with `locomo10.json` or
 * `locomo/locomo10.json`), else the cache folder, else a download into it that is checked before it is kept.
 * The file's content is checked by `loadLocomo`.
 * @throws ConfigError where none is found and none can be got; DataFormatError or DataIntegrityError where the download
 * is not the official file.
 */
export async function findLocomo(options: LoadDatasetOptions): Promise<string> {
  const {
    dataDirectory,
    cacheDirectory,
    download = true,
    fetchBytes = fetchOverHttp,
    logger = silentLogger,
  } = options;
  const given = dataDirectory === undefined ? undefined : await findInDataDirectory(dataDirectory);
  if (given !== undefined) return given;
  const folder = join(cacheDirectory, "datasets");
  const cached = join(folder, `${locomoRelease.sha256.slice(0, 12)}-${fileName}`);
  if ((await pathKind(cached)) === "file") return cached;
  const looked =
    dataDirectory === undefined
      ? `not in ${folder}`
      : `neither in ${dataDirectory} nor in ${folder}`;
  if (!download) throw new ConfigError(`LoCoMo is ${looked}. ${howToGiveOne}.`);
  logger.info(`Getting LoCoMo (2.8 MB, CC BY-NC 4.0) from ${locomoRelease.url}`);
  let bytes: Uint8Array;
  try {
    bytes = await fetchBytes(locomoRelease.url);
  } catch (cause) {
    const reason = describeFailure(cause);
    throw new ConfigError(
      `LoCoMo is ${looked}, and the download failed (${reason}). ${howToGiveOne}.`,
      cause,
    );
  }
  verifyLocomo(bytes, locomoRelease.url);
  await writeAtomically(folder, cached, bytes);
  return cached;
}
