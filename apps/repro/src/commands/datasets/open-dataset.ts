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

/** How a command other than `get` opens a data set: what is not here is not downloaded behind the user's back. */
export function openOptions(shell: Shell, dataDir: string | undefined): LoadDatasetOptions {
  const { callerDirectory, dataDirectory, cacheDirectory } = shell.environment;
  return {
    dataDirectory: dataDir === undefined ? dataDirectory : resolve(callerDirectory, dataDir),
    cacheDirectory,
    download: false,
  };
}
