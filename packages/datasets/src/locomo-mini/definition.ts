import type { DatasetDefinition } from "../dataset-definition.ts";
import { loadLocomoMini } from "./load-locomo-mini.ts";

export const locomoMiniDefinition = {
  description: "Three short invented conversations in LoCoMo's schema",
  licence: "Apache-2.0 (part of this package)",
  homepage: "https://arxiv.org/abs/2508.19828",
  files: [],
  load: () => loadLocomoMini(),
  verify: async () => {
    await loadLocomoMini();
    return [];
  },
} as const satisfies DatasetDefinition;
