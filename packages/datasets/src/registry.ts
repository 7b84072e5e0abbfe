import type { DatasetDefinition } from "./dataset-definition.ts";
import { jsonlMiniDefinition } from "./jsonl-mini/definition.ts";
import { jsonlDefinition } from "./jsonl/definition.ts";
import { locomoMiniDefinition } from "./locomo-mini/definition.ts";
import { locomoModifiedDefinition } from "./locomo-modified/definition.ts";
import { locomoDefinition } from "./locomo/definition.ts";
import {
  longMemEvalMDefinition,
  longMemEvalMiniDefinition,
  longMemEvalOracleDefinition,
  longMemEvalSDefinition,
} from "./longmemeval/definitions.ts";
import {
  mscDefinition,
  mscMiniDefinition,
  selfInstructDefinition,
  selfInstructMiniDefinition,
} from "./msc/definitions.ts";

/** Every data set by name; a loaded data set carries the same name. */
export const datasets = {
  locomo: locomoDefinition,
  "locomo-modified": locomoModifiedDefinition,
  "locomo-mini": locomoMiniDefinition,
  jsonl: jsonlDefinition,
  "jsonl-mini": jsonlMiniDefinition,
  "longmemeval-oracle": longMemEvalOracleDefinition,
  "longmemeval-s": longMemEvalSDefinition,
  "longmemeval-m": longMemEvalMDefinition,
  "longmemeval-mini": longMemEvalMiniDefinition,
  "msc-self-instruct": selfInstructDefinition,
  "msc-self-instruct-mini": selfInstructMiniDefinition,
  msc: mscDefinition,
  "msc-mini": mscMiniDefinition,
} as const satisfies Readonly<Record<string, DatasetDefinition>>;

export type DatasetName = keyof typeof datasets;

/** Type guard for names that come from a command line or a file. */
export function isDatasetName(name: string): name is DatasetName {
  return Object.hasOwn(datasets, name);
}
