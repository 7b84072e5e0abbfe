import { resolve } from "node:path";
import type { DatasetDefinition, DatasetName, LoadDatasetOptions } from "@memory-r1/datasets";
import { dataDirFlag, jsonFlag, parseText } from "../../command-flags.ts";
import { knownName } from "../../pipeline/known-name.ts";
import type { Shell } from "../../shell.ts";

/** Flags and arguments that the commands about one data set share. */
export interface DatasetRequest {
  /** A name of `repro datasets list`. */
  readonly dataset: string;
  readonly dataDir?: string;
  readonly json: boolean;
}

export const datasetFlags = { dataDir: dataDirFlag, json: jsonFlag } as const;

export const datasetPositional = {
  kind: "tuple",
  parameters: [
    {
      parse: parseText,
      brief: "Name of a data set (`repro datasets list` shows them)",
      placeholder: "name",
    },
  ],
} as const;

/** The library, loaded when a command needs it: usage errors answer at once. */
export const datasetsLibrary = () => import("@memory-r1/datasets");

/** The data set of a name. @throws ConfigError listing the names */
export async function findDefinition(
  name: string,
): Promise<{ readonly name: DatasetName; readonly definition: DatasetDefinition }> {
  const { datasets } = await datasetsLibrary();
  const known = knownName("data set", name, datasets);
  return { name: known, definition: datasets[known] };
}

/** Absolute data directory: the flag from where the user stands, else the environment's. */
export function dataDirectoryOf(shell: Shell, dataDir: string | undefined): string | undefined {
  const { callerDirectory, dataDirectory } = shell.environment;
  return dataDir === undefined ? dataDirectory : resolve(callerDirectory, dataDir);
}

/** How a command other than `get` opens a data set: what is not here is not downloaded behind the user's back. */
export function openOptions(shell: Shell, dataDir: string | undefined): LoadDatasetOptions {
  return {
    dataDirectory: dataDirectoryOf(shell, dataDir),
    cacheDirectory: shell.environment.cacheDirectory,
    download: false,
  };
}
