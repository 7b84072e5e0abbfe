import { HarnessError } from "@memory-r1/spec";
import type { DatasetDefinition } from "../dataset-definition.ts";
import { findLocomo } from "./find-locomo.ts";
import { loadLocomo, locomoRelease } from "./load-locomo.ts";

export const locomoDefinition = {
  description: "LoCoMo: 10 long conversations with 1,986 questions",
  licence: "CC BY-NC 4.0 (not part of this package)",
  homepage: "https://github.com/snap-research/locomo",
  files: [{ name: "locomo10.json", ...locomoRelease }],
  load: async (options) => loadLocomo({ file: await findLocomo(options) }),
  verify: async (options) => {
    const file = await findLocomo(options);
    try {
      await loadLocomo({ file });
      return [];
    } catch (error) {
      if (!HarnessError.isInstance(error)) throw error;
      const fix = `get the official file again from ${locomoRelease.url}`;
      return [{ file, field: "", value: "", problem: error.message, fix }];
    }
  },
} as const satisfies DatasetDefinition;
