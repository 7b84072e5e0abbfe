import { ConfigError } from "@memory-r1/spec";
import type { DatasetDefinition } from "../dataset-definition.ts";
import { locateInDataDirectory } from "../files/find-file.ts";
import type { LoadDatasetOptions } from "../load-options.ts";
import { locomoFile } from "../locomo/definition.ts";
import { loadModifiedLocomo, readModifiedLocomo } from "../locomo/load-locomo.ts";

/** Never the official file of the cache: who asks for a modified one has to give it. */
async function find({ dataDirectory }: LoadDatasetOptions): Promise<string> {
  const { name } = locomoFile.file;
  const found =
    dataDirectory === undefined
      ? undefined
      : await locateInDataDirectory(locomoFile.file, dataDirectory);
  if (found !== undefined) return found;
  throw new ConfigError(
    `The data set locomo-modified is a file of yours${dataDirectory === undefined ? "" : `, and ${dataDirectory} holds no ${name}`}. ` +
      `Give the file, or the folder with ${name}, with --data-dir.`,
  );
}

export const locomoModifiedDefinition = {
  description: "Your own file in LoCoMo's schema, such as a corrected copy",
  licence: "that of your file",
  homepage: "https://github.com/snap-research/locomo",
  files: [],
  load: async (options) => loadModifiedLocomo({ file: await find(options) }),
  verify: async (options) => (await readModifiedLocomo({ file: await find(options) })).faults,
} as const satisfies DatasetDefinition;
