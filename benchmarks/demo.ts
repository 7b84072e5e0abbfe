import { defineExperiment } from "@memory-r1/repro/experiment";

/** What `repro` alone runs: the whole job on the embedded mini set, in minutes, with nothing to download but the model. */
export const experiment = defineExperiment({
  name: "demo",
  description: "Memory-R1 from training to table, in minutes",
  dataset: "locomo-mini",
  model: { name: "smollm2-135m-instruct" },
  answer: { memories: 5 },
  // The paper's last stage, the Answer Agent once more on the trained Manager's banks, is left out: it would have to play
  // the other conversations too. `locomo-laptop` has it.
  training: [
    {
      name: "answer-agent-warm-up",
      agent: "answer",
      banks: "add-everything",
      steps: 8,
      tasksPerStep: 4,
      learningRate: 5e-4,
      // Eight steps are few, and the last is not always the best.
      validateEvery: 4,
      checkpointEvery: 4,
    },
    {
      name: "memory-manager",
      agent: "manager",
      steps: 3,
      tasksPerStep: 3,
      learningRate: 1.5e-4,
      validateEvery: 3,
      checkpointEvery: 3,
      episode: { bankSizes: [2, 12], validationFacts: 6 },
    },
  ],
  evaluation: {
    // Every Manager has to play what is asked about: four sessions of the test conversation are enough here.
    validation: false,
    sessions: 4,
    metrics: ["squad-f1", "locomo-f1", "mem0-f1", "mem0-bleu1", "squad-em"],
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
        name: "add-everything",
        system: "ADD everything",
        variant: "untrained reader",
        memory: { kind: "bank", manager: "add-everything" },
        answer: "untrained",
      },
      {
        name: "memory-r1-untrained",
        system: "Memory-R1",
        variant: "untrained",
        memory: { kind: "bank", manager: "untrained" },
        answer: "untrained",
      },
      {
        name: "memory-r1-grpo",
        system: "Memory-R1",
        variant: "{algorithm}",
        memory: { kind: "bank", manager: "trained" },
        answer: "trained",
      },
      {
        name: "add-everything-grpo-reader",
        system: "ADD everything",
        variant: "{algorithm} reader",
        memory: { kind: "bank", manager: "add-everything" },
        answer: "trained",
      },
    ],
    comparisons: [
      ["memory-r1-untrained", "memory-r1-grpo"],
      ["rag", "memory-r1-grpo"],
    ],
  },
});
