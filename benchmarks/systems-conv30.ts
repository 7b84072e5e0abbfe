import { defineExperiment } from "@memory-r1/repro/experiment";
import { systemArms } from "@memory-r1/repro/system-arms";

/**
 * Every memory system on the first five sessions of LoCoMo's conv-30, which is the split's conversation to validate on,
 * and the questions whose evidence lies in them. Nothing is trained: what is compared is memory, its cost, and what a
 * 135M model makes of each system's prompts. `--set systems.constrained=true` holds replies to the form asked for.
 */
export const experiment = defineExperiment({
  name: "systems-conv30",
  description: "Every memory system on five sessions of LoCoMo's conv-30, SmolLM2-135M-Instruct",
  dataset: "locomo",
  model: { name: "smollm2-135m-instruct" },
  // What a model of this size does not say in so many tokens it does not say in more: it repeats itself.
  systems: { replyTokens: 128 },
  evaluation: {
    testSample: 0,
    sessions: 5,
    metrics: ["squad-f1", "locomo-f1", "mem0-f1", "mem0-bleu1", "squad-em"],
    mainMetric: "squad-f1",
    // Of the Mem0 paper's windows one size, with one and with two of them. mem0-npm needs a larger model: systems-mem0.
    arms: systemArms(/^(rag-windows-(?!256-)|mem0-npm$)/),
  },
});
