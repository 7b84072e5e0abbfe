import { stat } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError, silentLogger } from "@memory-r1/spec";
import type { DatasetFile } from "../dataset-definition.ts";
import type { LoadDatasetOptions } from "../load-options.ts";

/** A file that a data set needs, with what its user is told of it. */
export interface WantedFile {
  /** The data set as a person calls it: `LoCoMo`. */
  readonly title: string;
  readonly licence: string;
  readonly file: DatasetFile;
}

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

/** Where a download of the file is kept; files of different releases lie beside each other. */
export function cachedPath(file: DatasetFile, cacheDirectory: string): string {
  const release = file.sha256?.slice(0, 12) ?? file.folder;
  const name = release === undefined ? file.name : `${release}-${file.name}`;
  return join(cacheDirectory, "datasets", name);
}

/**
 * The file in the user's data directory: the directory itself where it is a file, else in it or in the data set's folder.
 * @throws ConfigError where the directory is missing: a mistyped path must not end in a download.
 */
export async function locateInDataDirectory(
  file: DatasetFile,
  dataDirectory: string,
): Promise<string | undefined> {
  const kind = await pathKind(dataDirectory);
  if (kind === "file") return dataDirectory;
  if (kind === "missing")
    throw new ConfigError(`${dataDirectory} does not exist. ${howToGive(file)}`);
  const inItself = join(dataDirectory, file.name);
  if ((await pathKind(inItself)) === "file") return inItself;
  const inFolder = pathInDataDirectory(file, dataDirectory);
  return (await pathKind(inFolder)) === "file" ? inFolder : undefined;
}

/**
 * Path of the file on this machine, whatever it holds: in the data directory, else in the cache. Undefined where it is
 * not there. @throws ConfigError as locateInDataDirectory
 */
export async function locateFile(
  file: DatasetFile,
  options: Pick<LoadDatasetOptions, "dataDirectory" | "cacheDirectory">,
): Promise<string | undefined> {
  const { dataDirectory, cacheDirectory } = options;
  const given =
    dataDirectory === undefined ? undefined : await locateInDataDirectory(file, dataDirectory);
  if (given !== undefined) return given;
  const cached = cachedPath(file, cacheDirectory);
  return (await pathKind(cached)) === "file" ? cached : undefined;
}

/**
 * Path of the file: where `locateFile` finds it, else downloaded into the cache folder, whole and checked. The content
 * of a file that was there already is for its loader to check.
 * @throws ConfigError where none is found and none can be got; DataIntegrityError where the download is another file.
 */
export async function findFile(wanted: WantedFile, options: LoadDatasetOptions): Promise<string> {
  const { title, file } = wanted;
  const found = await locateFile(file, options);
  if (found !== undefined) return found;
  if (options.download === false) {
    const folders = [options.dataDirectory, join(options.cacheDirectory, "datasets")];
    const looked = folders.filter((folder) => folder !== undefined).join(" nor in ");
    throw new ConfigError(`${title} (${file.name}) is not in ${looked}. ${howToGive(file)}`);
  }
  return getFile(wanted, cachedPath(file, options.cacheDirectory), options);
}

/** Downloads the file to a path. @throws as findFile */
export async function getFile(
  { title, licence, file }: WantedFile,
  destination: string,
  options: Omit<LoadDatasetOptions, "dataDirectory" | "cacheDirectory" | "download">,
): Promise<string> {
  const { logger = silentLogger, fetch, signal, onProgress } = options;
  const size = file.sizeBytes === undefined ? "" : `${formatSize(file.sizeBytes)}, `;
  logger.info(`Getting ${title} (${size}${licence}) from ${file.url}`);
  // Loaded when needed: finding a file that is there must stay fast.
  const { downloadFile } = await import("./download-file.ts");
  await downloadFile({ file, destination, fetch, signal, onProgress, logger });
  return destination;
}

/** The path at which `getFile` may put a file so that it is found with this data folder. */
export function pathInDataDirectory(file: DatasetFile, dataDirectory: string): string {
  return join(dataDirectory, ...(file.folder === undefined ? [] : [file.folder]), file.name);
}

/** `2.8 MB`, with powers of ten as download pages have it. */
export function formatSize(bytes: number): string {
  for (const [unit, name] of [
    [1e9, "GB"],
    [1e6, "MB"],
    [1e3, "kB"],
  ] as const) {
    if (bytes >= unit) return `${(bytes / unit).toFixed(1)} ${name}`;
  }
  return `${bytes} bytes`;
}

function howToGive(file: DatasetFile): string {
  return (
    `Get it with \`repro datasets get\`, or give the folder that holds ${file.name} with --data-dir or the variable ` +
    `MEMORY_R1_DATA_DIR. It comes from ${file.url}.`
  );
}
