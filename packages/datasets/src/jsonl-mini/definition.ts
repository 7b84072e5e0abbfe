import { fileURLToPath } from "node:url";
import type { DatasetDefinition } from "../dataset-definition.ts";
import { loadJsonlFolder, readJsonlFolder } from "../jsonl/load-jsonl.ts";

const name = "jsonl-mini";
// The same relative path holds from src/ and from dist/.
const folder = fileURLToPath(new URL("../../mini/jsonl-mini", import.meta.url));

export const jsonlMiniDefinition = {
  description: "Three short invented conversations in the format for your own data",
  licence: "Apache-2.0 (part of this package)",
  homepage: "https://arxiv.org/abs/2508.19828",
  files: [],
  load: () => loadJsonlFolder(name, folder),
  verify: async () => (await readJsonlFolder(name, folder)).faults,
} as const satisfies DatasetDefinition;
