import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "@memory-r1/spec";
import { readWholeFile } from "../files/read-whole-file.ts";
import type { LoadDatasetOptions } from "../load-options.ts";
import { type MscFile, parseMscFileName } from "./parse-msc.ts";

/** Where the files of ParlAI may lie in a data folder. */
const folders = [".", "msc", "msc_dialogue", join("msc", "msc_dialogue")];

const howToGet =
  "MSC is not downloaded for you, because its owners state no licence: get the archive that https://parl.ai/projects/msc " +
  "names, and give the folder that holds session_2_valid.txt or session_2/valid.txt with --data-dir or the variable MEMORY_R1_DATA_DIR";

/**
 * The files of ParlAI's MSC in the user's data folder: `session_<k>_<part>.txt` or `session_<k>/<part>.txt`, k from 2 on (session 1
 * has no history), in the folder itself, in `msc`, `msc_dialogue` or `msc/msc_dialogue`. One file, where one is given.
 * @throws ConfigError where there is none
 */
export async function findMsc({
  dataDirectory,
}: Pick<LoadDatasetOptions, "dataDirectory">): Promise<readonly MscFile[]> {
  if (dataDirectory === undefined) throw new ConfigError(`${howToGet}.`);
  const paths = (await isFile(dataDirectory))
    ? [dataDirectory]
    : await firstFilled(folders.map((folder) => join(dataDirectory, folder)));
  if (paths.length === 0) {
    throw new ConfigError(`${dataDirectory} holds no file of MSC. ${howToGet}.`);
  }
  const found = new Map<string, string>();
  return Promise.all(
    paths.map(async (path) => {
      const place = parseMscFileName(path);
      if (place === undefined) {
        throw new ConfigError(
          `${path} has no name of MSC. Name it as ParlAI does, such as session_3_valid.txt: the name says session and part.`,
        );
      }
      const other = found.get(JSON.stringify(place));
      if (other !== undefined) {
        throw new ConfigError(
          `${other} and ${path} are both session ${place.session}, ${place.part}: take one of the two away.`,
        );
      }
      found.set(JSON.stringify(place), path);
      return { path, ...place, bytes: await readWholeFile(path) };
    }),
  );
}

/** The files of the first folder that has any. */
async function firstFilled(candidates: readonly string[]): Promise<string[]> {
  for (const folder of candidates) {
    const paths = await mscFilesIn(folder);
    if (paths.length > 0) return paths;
  }
  return [];
}

async function mscFilesIn(folder: string): Promise<string[]> {
  const names = await namesIn(folder);
  const inFolders = await Promise.all(
    names
      .filter((name) => /^session_\d+$/.test(name))
      .map(async (name) => (await namesIn(join(folder, name))).map((inner) => join(name, inner))),
  );
  return [...names, ...inFolders.flat()]
    .map((name) => join(folder, name))
    .filter((path) => (parseMscFileName(path)?.session ?? 0) >= 2)
    .toSorted();
}

/** Names of what a folder holds; none where it is no folder. */
async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return [];
    throw new ConfigError(
      `${folder} cannot be looked at: ${String(cause)}. Check its permissions.`,
      cause,
    );
  }
}

/** @throws ConfigError where there is nothing: a mistyped path is told as such */
async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (cause) {
    throw new ConfigError(`${path} cannot be looked at: ${String(cause)}. ${howToGet}.`, cause);
  }
}
