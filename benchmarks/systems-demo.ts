import { defineExperiment } from "@memory-r1/repro/experiment";
import { systemArms } from "@memory-r1/repro/system-arms";

/** Every memory system on the embedded mini set: nothing to download but the model. */
export const experiment = defineExperiment({
  name: "systems-demo",
  description: "Every memory system on short conversations",
  dataset: "locomo-mini",
  model: { name: "smollm2-135m-instruct" },
  // What a model of this size does not say in so many tokens it does not say in more: it repeats itself.
  systems: { replyTokens: 128 },
  evaluation: {
    metrics: ["squad-f1", "locomo-f1", "mem0-f1", "mem0-bleu1", "squad-em"],
    mainMetric: "squad-f1",
    // Of the Mem0 paper's windows one size, with one and with two of them. mem0-npm needs a larger model: systems-mem0.
    arms: systemArms(/^(rag-windows-(?!256-)|mem0-npm$)/),
  },
});
