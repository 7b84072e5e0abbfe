import { defineExperiment } from "@memory-r1/repro/experiment";
import { systemArms } from "@memory-r1/repro/system-arms";

/**
 * Mem0's two algorithms: as published in 2025 (`mem0`), and the npm package of today, which only adds (`mem0-npm`). The
 * package's own instructions take more than the whole window of the embedded model, so the model comes from the hub;
 * `--model` names another with room for 16,384 tokens.
 */
export const experiment = defineExperiment({
  name: "systems-mem0",
  description: "Mem0 of 2025 and the npm package mem0ai on three short conversations",
  dataset: "locomo-mini",
  model: { name: "Qwen/Qwen2.5-0.5B-Instruct" },
  systems: { contextTokens: 16_384, replyTokens: 512 },
  evaluation: {
    metrics: ["squad-f1", "locomo-f1", "mem0-f1", "mem0-bleu1", "squad-em"],
    mainMetric: "squad-f1",
    arms: systemArms(/^(?!mem0|no-memory|rag-turns)/),
  },
});
