import type { DatasetDefinition } from "../dataset-definition.ts";
import { findFile, type WantedFile } from "../files/find-file.ts";
import { loadLocomo, locomoRelease, verifyLocomo } from "./load-locomo.ts";

/** What `locomo` and `locomo-modified` look for. */
export const locomoFile: WantedFile = {
  title: "LoCoMo",
  licence: "CC BY-NC 4.0",
  file: { name: "locomo10.json", folder: "locomo", ...locomoRelease },
};

export const locomoDefinition = {
  description: "LoCoMo: 10 long conversations with 1,986 questions",
  licence: `${locomoFile.licence} (not part of this package)`,
  homepage: "https://github.com/snap-research/locomo",
  files: [locomoFile.file],
  load: async (options) => loadLocomo({ file: await findFile(locomoFile, options) }),
  verify: async (options) => verifyLocomo({ file: await findFile(locomoFile, options) }),
} as const satisfies DatasetDefinition;
