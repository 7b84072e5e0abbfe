import type { ExperimentInput } from "../../experiment.ts";

/** Every part of a run on the mini set, as small as it goes: both agents, a baseline, a control, two questions. */
export const tinyExperiment: ExperimentInput = {
  name: "tiny",
  description: "Everything once",
  dataset: "locomo-mini",
  model: { name: "smollm2-135m-instruct" },
  lora: { rank: 4 },
  manager: { shown: 2, maxTokens: 12 },
  answer: { memories: 2, maxTokens: 6 },
  training: [
    {
      name: "reader",
      agent: "answer",
      banks: "add-everything",
      steps: 2,
      tasksPerStep: 2,
      samplesPerTask: 2,
      learningRate: 1e-3,
      validateEvery: 2,
      checkpointEvery: 1,
    },
    {
      name: "manager",
      agent: "manager",
      steps: 2,
      tasksPerStep: 2,
      samplesPerTask: 2,
      learningRate: 1e-3,
      validateEvery: 2,
      checkpointEvery: 1,
      episode: { bankSizes: [2, 4], validationFacts: 2 },
    },
  ],
  evaluation: {
    validation: false,
    testSample: 2,
    metrics: ["squad-f1", "squad-em"],
    mainMetric: "squad-f1",
    arms: [
      {
        name: "rag",
        system: "RAG",
        variant: "untrained reader",
        memory: { kind: "baseline", baseline: "rag-turns" },
        answer: "untrained",
      },
      {
        name: "memory-r1",
        system: "Memory-R1",
        variant: "GRPO",
        memory: { kind: "bank", manager: "trained" },
        answer: "trained",
      },
      {
        name: "oracle",
        system: "Control",
        variant: "oracle",
        memory: { kind: "bank", manager: "add-everything" },
        answer: "trained",
        context: "oracle",
      },
    ],
    comparisons: [["rag", "memory-r1"]],
  },
};
