import { ConfigError } from "@memory-r1/spec";
import type { DatasetDefinition } from "../dataset-definition.ts";
import type { LoadDatasetOptions } from "../load-options.ts";
import { jsonlFileNames, loadJsonlFolder, readJsonlFolder } from "./load-jsonl.ts";

const name = "jsonl";

/** @throws ConfigError where the user gave none */
function folderOf({ dataDirectory }: LoadDatasetOptions): string {
  if (dataDirectory !== undefined) return dataDirectory;
  const { conversations, questions } = jsonlFileNames;
  throw new ConfigError(
    `The data set ${name} is your own: give the folder that holds ${conversations} and ${questions} with --data-dir. ` +
      "The format is described in docs/your-own-data.md.",
  );
}

export const jsonlDefinition = {
  description: "Your own conversations and questions",
  licence: "that of your files",
  homepage: "docs/your-own-data.md",
  files: [],
  load: async (options) => loadJsonlFolder(name, folderOf(options)),
  verify: async (options) => (await readJsonlFolder(name, folderOf(options))).faults,
} as const satisfies DatasetDefinition;
