import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { ConfigError } from "@memory-r1/spec";

/** `YYYYMMDD-HHMMSS` by the local clock. */
export function formatRunTime(date: Date): string {
  const pad = (value: number, length = 2): string => String(value).padStart(length, "0");
  const day = pad(date.getFullYear(), 4) + pad(date.getMonth() + 1) + pad(date.getDate());
  return `${day}-${pad(date.getHours())}${pad(date.getMinutes())}${pad(date.getSeconds())}`;
}

/**
 * The name of a new run's folder in `runsDirectory`: the id given, or `<experiment>-<YYYYMMDD-HHMMSS>`, with `-2`, `-3`
 * behind it where runs start in the same second.
 * @throws ConfigError if the given id is taken or no usable folder name.
 */
export function chooseRunId(options: {
  readonly experimentName: string;
  readonly givenId: string | undefined;
  readonly runsDirectory: string;
  readonly now: Date;
}): string {
  const { givenId, runsDirectory } = options;
  if (givenId === undefined) {
    const base = `${options.experimentName}-${formatRunTime(options.now)}`;
    let id = base;
    for (let copy = 2; existsSync(join(runsDirectory, id)); copy++) id = `${base}-${copy}`;
    return id;
  }
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(givenId)) {
    throw new ConfigError(
      `--id ${givenId}: a run id is a folder name. Use letters, digits, dots, hyphens and underscores, a letter or digit first.`,
    );
  }
  if (existsSync(join(runsDirectory, givenId))) {
    throw new ConfigError(
      `--id ${givenId}: ${join(runsDirectory, givenId)} exists already. Go on with it by \`repro resume ${givenId}\`, or choose another id.`,
    );
  }
  return givenId;
}

/** A run as the user names it: an id in `runsDirectory`, or a path to a run's folder. */
export interface RunLocation {
  readonly runId: string;
  /** Absolute; exists. */
  readonly runDirectory: string;
}

/** Whether the folder is what was published of a run: its manifest without the configuration that it goes on by. */
export function isPublishedResult(directory: string): boolean {
  return (
    existsSync(join(directory, "manifest.json")) && !existsSync(join(directory, "config.json"))
  );
}

/** @throws ConfigError if there is no such run; the message lists those that there are. */
export async function findRun(options: {
  readonly run: string;
  readonly runsDirectory: string;
  readonly callerDirectory: string;
}): Promise<RunLocation> {
  const isPath = /[/\\]/.test(options.run);
  const runDirectory = isPath
    ? resolve(options.callerDirectory, options.run)
    : join(options.runsDirectory, options.run);
  if (options.run !== "" && existsSync(runDirectory))
    return { runId: basename(runDirectory), runDirectory };
  const folder = isPath ? dirname(runDirectory) : options.runsDirectory;
  const known = await listRunIds(folder);
  throw new ConfigError(
    known.length === 0
      ? `There is no run ${options.run}: ${folder} holds no runs. Start one with \`repro run\`, or name the runs' folder with --out.`
      : `There is no run ${options.run} in ${folder}. Latest runs there: ${known.slice(-5).reverse().join(", ")}. Elsewhere: name the folder with --out.`,
  );
}

/** Names of the folders in a runs folder, in order of their names; none where it does not exist. */
async function listRunIds(runsDirectory: string): Promise<readonly string[]> {
  if (!existsSync(runsDirectory)) return [];
  const entries = await readdir(runsDirectory, { withFileTypes: true });
  return entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}

/**
 * Makes the folder where it is missing and writes, then removes, a file in it: what permissions promise and what a
 * file system allows differ (full disk, read-only mount).
 * @param remedy what the user can do, as a sentence
 * @throws ConfigError naming the folder and the reason.
 */
export async function ensureWritableFolder(folder: string, remedy: string): Promise<void> {
  const probe = join(folder, `.write-test-${randomUUID()}`);
  try {
    await makeFolder(folder);
    await writeFile(probe, "");
    await rm(probe);
  } catch (cause) {
    throw new ConfigError(`${folder}: cannot write there (${reasonOf(cause)}). ${remedy}`, cause);
  }
}

/** Like a recursive mkdir, which Node never returns from where a file system denies a folder with ENOENT (/proc). */
async function makeFolder(folder: string): Promise<void> {
  if (existsSync(folder)) return;
  await makeFolder(dirname(folder));
  await mkdir(folder);
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const code = "code" in cause ? cause.code : undefined;
  switch (code) {
    case "EACCES":
    case "EPERM":
      return "permission denied";
    case "EROFS":
      return "read-only file system";
    case "ENOSPC":
      return "no space left on the disk";
    case "ENOTDIR":
    case "EEXIST":
      return "a file is in the way";
    default:
      return cause.message;
  }
}
