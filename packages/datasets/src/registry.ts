import type { Dataset } from "@memory-r1/spec";
import type { LoadDatasetOptions } from "./load-options.ts";
import { loadLocomoMini } from "./locomo-mini/load-locomo-mini.ts";
import { findLocomo } from "./locomo/find-locomo.ts";
import { loadLocomo } from "./locomo/load-locomo.ts";

export const splitPartNames = ["train", "validation", "test"] as const;
export type SplitPartName = (typeof splitPartNames)[number];

/** Which conversations belong to which part. */
export type SplitDefinition = Readonly<Record<SplitPartName, readonly string[]>>;

/** The one split in use; a data set may define more under other names. */
export type SplitName = "memory-r1";

/** What a data set is to the rest of the project. */
export interface DatasetDefinition {
  readonly description: string;
  readonly load: (options: LoadDatasetOptions) => Promise<Dataset>;
  readonly splits: Readonly<Record<SplitName, SplitDefinition>>;
}

/** Every data set by name; a loaded data set carries the same name. */
export const datasets = {
  locomo: {
    description:
      "LoCoMo, 10 long conversations with 1,986 questions (CC BY-NC 4.0; not part of this package)",
    load: async (options) => loadLocomo({ file: await findLocomo(options) }),
    // Memory-R1 (arXiv 2508.19828), section 4: 1:1:8 conversations, 152/81/1307 questions without category 5.
    splits: {
      "memory-r1": {
        train: ["conv-26"],
        validation: ["conv-30"],
        test: [
          "conv-41",
          "conv-42",
          "conv-43",
          "conv-44",
          "conv-47",
          "conv-48",
          "conv-49",
          "conv-50",
        ],
      },
    },
  },
  "locomo-mini": {
    description: "Three short invented conversations in LoCoMo's schema (part of this package)",
    load: () => loadLocomoMini(),
    splits: { "memory-r1": { train: ["mini-1"], validation: ["mini-2"], test: ["mini-3"] } },
  },
} as const satisfies Readonly<Record<string, DatasetDefinition>>;

export type DatasetName = keyof typeof datasets;

/** Type guard for names that come from a command line or a file. */
export function isDatasetName(name: string): name is DatasetName {
  return Object.hasOwn(datasets, name);
}
