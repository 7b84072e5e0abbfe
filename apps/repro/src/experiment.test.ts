import { ConfigError, parseJson } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { buildStageConfig } from "./stage-config.ts";
import {
  type ExperimentInput,
  type Override,
  resolveExperiment,
  shownMemories,
} from "./experiment.ts";

const stage = {
  name: "reader",
  agent: "answer",
  steps: 3,
  tasksPerStep: 2,
  learningRate: 1e-4,
} as const;

const arm = {
  name: "rag",
  system: "RAG",
  variant: "plain",
  memory: { kind: "baseline", baseline: "rag-turns" },
  answer: "untrained",
} as const;

const input: ExperimentInput = {
  name: "small",
  description: "A small one",
  dataset: "locomo-mini",
  model: { name: "some-model" },
  training: [stage],
  evaluation: { metrics: ["squad-f1"], mainMetric: "squad-f1", arms: [arm] },
};

const set = (...overrides: readonly Override[]) => resolveExperiment(input, overrides);

/** The message of the ConfigError that resolving ends in. */
function problemOf(resolve: () => unknown): string {
  try {
    resolve();
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error("it was resolved");
}

const withEvaluation = (changes: Partial<ExperimentInput["evaluation"]>): ExperimentInput => ({
  ...input,
  evaluation: { ...input.evaluation, ...changes },
});

describe("defaults", () => {
  it("fill in what is left out", () => {
    expect(resolveExperiment(input)).toEqual({
      name: "small",
      description: "A small one",
      dataset: "locomo-mini",
      seed: 1,
      model: { name: "some-model", dtype: "float32" },
      embedding: "all-minilm-l6-v2",
      lora: { rank: 16, alpha: 32 },
      manager: { format: "compact", constrained: true, shown: 3, maxTokens: 48 },
      answer: { variant: "short", memories: 8 },
      retriever: "dense",
      systems: { contextTokens: 2048, replyTokens: 256, constrained: false, concurrent: 16 },
      training: [
        {
          ...stage,
          algorithm: "grpo",
          settings: {},
          banks: "manager",
          samplesPerTask: 8,
          warmupSteps: 0,
          reward: "squad-f1",
          validateEvery: 10,
          checkpointEvery: 5,
          maxGradientNorm: 1,
          klCoefficient: 0,
          advantageScale: "group",
          lossAggregation: "token-mean",
          episode: {
            facts: 1,
            emptyBankShare: 0.25,
            bankSizes: [2, 40],
            newFactWeight: 0.5,
            maxNewFactQuestions: 2,
            maxShownQuestions: 3,
            invalidPenalty: 0.1,
            maxEvidenceMissing: 0.1,
            maxEpisodeQuestions: 16,
            localShare: 0,
            localSamples: 4,
            compressionWeight: 0,
            compressionFreeShare: 0.7,
            validationFacts: "all",
            validationTemperature: 0,
            validationSeeds: 1,
          },
        },
      ],
      evaluation: {
        validation: true,
        adversarialSample: 0,
        metrics: ["squad-f1"],
        mainMetric: "squad-f1",
        arms: [{ ...arm, context: "retrieved", splits: ["validation", "test"] }],
        comparisons: [],
      },
    });
  });

  it("can be a judge's verdicts for a reward, and a curriculum of sessions for episodes", () => {
    const { training } = set(
      ["training.0.reward", '{"judge":"mem0-j"}'],
      ["training.0.episode.sessions", "[1,2,4]"],
      ["training.0.episode.localShare", "0.25"],
      ["training.0.episode.validationFacts", "all"],
    );
    expect(training[0]).toMatchObject({
      reward: { judge: "mem0-j", concurrency: 4 },
      episode: { sessions: [1, 2, 4], localShare: 0.25, validationFacts: "all" },
    });
  });

  it.each([
    ["localShare", "0.5", /episode\.localShare.*set sessions, too/],
    ["sessions", "[2,2]", /episode\.sessions.*larger than the one before/],
    ["validationSeeds", "3", /episode\.validationSeeds.*set validationTemperature/],
    ["validationFacts", "some", /episode\.validationFacts/],
  ])("cannot be with episode.%s = %s alone", (field, value, problem) => {
    expect(problemOf(() => set([`training.0.episode.${field}`, value]))).toMatch(problem);
  });

  it("are kept when an experiment is resolved again, as a resumed run does", () => {
    const resolved = resolveExperiment(input);
    expect(resolveExperiment(parseJson(JSON.stringify(resolved), z.unknown(), "copy"))).toEqual(
      resolved,
    );
  });
});

describe("overrides", () => {
  it("take JSON where it is some, and text otherwise", () => {
    const { seed, model, manager, description } = set(
      ["seed", "7"],
      ["model.name", "other/model-2"],
      ["model.dtype", '"bfloat16"'],
      ["manager.constrained", "false"],
      ["description", "a=b, {c"],
    );
    expect({ seed, model, constrained: manager.constrained, description }).toEqual({
      seed: 7,
      model: { name: "other/model-2", dtype: "bfloat16" },
      constrained: false,
      description: "a=b, {c",
    });
  });

  it("reach into lists by index, and replace whole parts", () => {
    expect(set(["training.0.steps", "9"]).training[0]?.steps).toBe(9);
    expect(set(["training.0.episode.bankSizes", "[2,5]"]).training[0]?.episode.bankSizes).toEqual([
      2, 5,
    ]);
    expect(set(["evaluation.arms.0.memory.baseline", "other"]).evaluation.arms[0]?.memory).toEqual({
      kind: "baseline",
      baseline: "other",
    });
    expect(set(["training", "[]"]).training).toEqual([]);
    expect(set(["lora", '{"rank":2}']).lora).toEqual({ rank: 2, alpha: 32 });
  });

  it("apply in turn, and leave the input as it is", () => {
    expect(set(["seed", "1"], ["lora.rank", "4"], ["seed", "2"])).toMatchObject({
      seed: 2,
      lora: { rank: 4, alpha: 32 },
    });
    expect(input.training?.[0]).toEqual(stage);
    expect(input).not.toHaveProperty("seed");
  });

  it.each<[path: string, value: string, part: string]>([
    ["sead", "1", '"sead"'],
    ["model.nme", "x", 'experiment, at model: Unrecognized key: "nme"'],
    ["training.0.stepz", "1", 'experiment, at training.0: Unrecognized key: "stepz"'],
    ["training.0.episode.factz", "1", '"factz"'],
    ["seed", "many", "experiment, at seed: "],
    ["seed", "-1", "experiment, at seed: "],
    ["seed.deeper", "1", "experiment, at seed: "],
    ["model.dtype", "float8", "experiment, at model.dtype: "],
    ["training.0.episode.bankSizes", "[1]", "experiment, at training.0.episode.bankSizes"],
    ["evaluation.arms.0.memory.kind", "file", "experiment, at evaluation.arms.0.memory"],
    [
      "training.steps",
      "1",
      '--set training.steps: "steps" is no index of a list of 1. Use 0 to 0.',
    ],
    [
      "training.1.steps",
      "1",
      '--set training.1.steps: "1" is no index of a list of 1. Use 0 to 0.',
    ],
  ])("%s=%s is refused by name", (path, value, part) => {
    expect(problemOf(() => set([path, value]))).toContain(part);
  });

  it("tell how to fill a list that is empty", () => {
    const problem = problemOf(() => set(["training", "[]"], ["training.0.steps", "1"]));
    expect(problem).toBe(
      '--set training.0.steps: "0" is no index of a list of 0. Set the whole list.',
    );
  });
});

describe("arms that rerank", () => {
  const reranked = (rerank: object, more: Partial<ExperimentInput["evaluation"]> = {}) =>
    withEvaluation({ arms: [{ ...arm, rerank }], ...more });

  it("order 60 candidates and keep as many as are shown, by a reranker that the configuration names", () => {
    const { answer, evaluation } = resolveExperiment(reranked({}));
    expect(evaluation.arms[0]?.rerank).toEqual({ candidates: 60 });
    expect(evaluation.reranker).toEqual({ name: "cross-encoder/ms-marco-MiniLM-L6-v2" });
    const [first] = evaluation.arms;
    if (first === undefined) throw new Error("no arm");
    expect(shownMemories({ answer }, first)).toBe(8);
    const own = resolveExperiment(
      reranked({ candidates: 20, keep: 4 }, { reranker: { name: "./my-reranker" } }),
    ).evaluation;
    expect(own.reranker).toEqual({ name: "./my-reranker" });
    expect(own.arms.map((one) => shownMemories({ answer }, one))).toEqual([4]);
  });

  it("leave no trace in an experiment without one", () => {
    const json = JSON.stringify(resolveExperiment(input));
    expect(json).not.toContain("rerank");
    expect(JSON.stringify(resolveExperiment(withEvaluation({ reranker: {} })))).toContain(
      '"reranker":{"name":"cross-encoder/ms-marco-MiniLM-L6-v2"}',
    );
  });

  it.each<[string, ExperimentInput, string]>([
    ["more than there are candidates", reranked({ candidates: 4, keep: 5 }), "best 5 of 4"],
    ["as many as answer.memories says of fewer", reranked({ candidates: 7 }), "best 8 of 7"],
    ["none", reranked({ keep: 0 }), "experiment, at evaluation.arms.0.rerank.keep"],
    ["what is misspelt", reranked({ kept: 3 }), '"kept"'],
    [
      "a control's, which retrieves nothing",
      withEvaluation({ arms: [{ ...arm, context: "oracle", rerank: {} }] }),
      'arm "rag" reranks, but its context is "oracle"',
    ],
    ["by no name", reranked({}, { reranker: { name: "" } }), "evaluation.reranker.name"],
  ])("cannot keep %s", (_what, changed, part) => {
    expect(problemOf(() => resolveExperiment(changed))).toContain(part);
  });
});

describe("algorithms", () => {
  const withStage = (changes: Readonly<Record<string, unknown>>) =>
    resolveExperiment({ ...input, training: [{ ...stage, ...changes }] });

  it("are named in the variants of the arms that they trained", () => {
    const arms = (["ppo", "sft"] as const).map((algorithm, index) => ({
      ...withEvaluation({
        arms: [{ ...arm, variant: "{algorithm} reader", answer: "trained" as const }],
      }),
      training: [
        { ...stage, algorithm },
        ...(index === 0 ? [] : [{ ...stage, name: "then", algorithm: "grpo" as const }]),
      ],
    }));
    expect(arms.map((one) => resolveExperiment(one).evaluation.arms[0]?.variant)).toEqual([
      "PPO reader",
      "SFT + GRPO reader",
    ]);
    const untrained = withEvaluation({ arms: [{ ...arm, variant: "{algorithm}" }] });
    expect(problemOf(() => resolveExperiment(untrained))).toContain("has no trained agent");
  });

  it("take a preset for what a stage leaves out, the critic's rate in proportion", () => {
    const paper = { name: "reader", agent: "answer", steps: 3, preset: "paper" } as const;
    const asWritten = resolveExperiment({ ...input, training: [{ ...paper, algorithm: "ppo" }] });
    expect(asWritten.training[0]).toMatchObject({
      tasksPerStep: 128,
      samplesPerTask: 1,
      learningRate: 1e-6,
      criticLearningRate: 1e-5,
    });
    const faster = withStage({ preset: "paper", algorithm: "ppo" }).training[0];
    expect(faster).toMatchObject({ tasksPerStep: 2, learningRate: 1e-4 });
    expect(faster?.criticLearningRate).toBeCloseTo(1e-3, 15);
    expect(problemOf(() => withStage({ preset: "papre" }))).toContain('no preset "papre"');
  });

  it("become the configuration of their trainer, the stage's settings over its preset", () => {
    const built = (changes: Readonly<Record<string, unknown>>) => {
      const [resolved] = withStage(changes).training;
      if (resolved === undefined) throw new Error("no stage");
      return buildStageConfig(resolved, 12);
    };
    expect(built({})).toMatchObject({
      algorithm: "grpo",
      config: {
        steps: 3,
        samplesPerTask: 8,
        maxCompletionTokens: 12,
        learningRate: { peak: 1e-4 },
      },
    });
    expect(
      built({ algorithm: "ppo", preset: "verl-parity", settings: { gae: { lambda: 0.9 } } }),
    ).toMatchObject({
      algorithm: "ppo",
      config: {
        gae: { gamma: 1, lambda: 0.9 },
        loss: { kind: "ppo", dualClip: 3 },
        minibatches: 4,
        maxCompletionTokens: 12,
      },
    });
    // Another kind of loss replaces the preset's as a whole: verl's dual clip is none of gspo's settings.
    expect(
      built({ preset: "verl-parity", settings: { loss: { kind: "gspo" }, minibatches: 1 } }).config,
    ).toMatchObject({ loss: { kind: "gspo", clipLow: 3e-4 } });
    expect(built({ algorithm: "sft", traces: "traces.jsonl" }).config).toMatchObject({
      data: { kind: "traces", batchSize: 2 },
    });
    expect(
      built({ algorithm: "sft", settings: { data: { keep: { kind: "best" } } } }).config,
    ).toMatchObject({ data: { kind: "rollouts", keep: { kind: "best", count: 1 } } });
  });

  it("are refused what they do not have", () => {
    const cases: readonly (readonly [Readonly<Record<string, unknown>>, string])[] = [
      [{ algorithm: "sft", klCoefficient: 0.1 }, "sft has no klCoefficient"],
      [{ algorithm: "ppo", advantageScale: "none" }, "ppo has no advantageScale"],
      [{ traces: "traces.jsonl" }, 'traces are imitated by "sft"'],
      [{ settings: { gae: {} } }, '"gae"'],
      [{ samplesPerTask: 1 }, "samplesPerTask"],
    ];
    for (const [changes, part] of cases)
      expect(problemOf(() => withStage(changes))).toContain(part);
  });
});

describe("references", () => {
  const trainedArm = { ...arm, name: "trained", variant: "trained", answer: "trained" } as const;
  const bankArm = {
    ...arm,
    name: "bank",
    variant: "bank",
    memory: { kind: "bank", manager: "trained" },
  } as const;

  it("are found where they are right", () => {
    const right = withEvaluation({ arms: [arm, trainedArm], comparisons: [["rag", "trained"]] });
    expect(resolveExperiment(right).evaluation.comparisons).toEqual([["rag", "trained"]]);
    const managed = {
      ...withEvaluation({ arms: [bankArm] }),
      training: [{ ...stage, agent: "manager" as const }],
    };
    expect(resolveExperiment(managed).evaluation.arms).toHaveLength(1);
  });

  it.each<[what: string, changed: ExperimentInput, part: string]>([
    [
      "a comparison with an arm that there is not",
      withEvaluation({ comparisons: [["rag", "rga"]] }),
      'evaluation.comparisons: no arm is named "rga". Arms: rag.',
    ],
    [
      "two arms of one name",
      withEvaluation({ arms: [arm, { ...arm, variant: "other" }] }),
      "two arms have the same name",
    ],
    [
      "two arms that the table could not tell apart",
      withEvaluation({ arms: [arm, { ...arm, name: "rag-2" }] }),
      'two arms are "RAG, plain" in the table',
    ],
    [
      "two stages that would share a folder",
      { ...input, training: [stage, stage] },
      'two stages are named "reader"',
    ],
    [
      "an arm whose Answer Agent nobody trains",
      { ...withEvaluation({ arms: [trainedArm] }), training: [] },
      'arm "trained" wants a trained Answer Agent',
    ],
    [
      "an arm whose Manager nobody trains",
      withEvaluation({ arms: [bankArm] }),
      'arm "bank" wants a trained Manager',
    ],
    [
      "a main metric that is not computed",
      withEvaluation({ mainMetric: "squad-em" }),
      "evaluation.mainMetric must be one of evaluation.metrics",
    ],
    [
      "start banks from many to few",
      { ...input, training: [{ ...stage, episode: { bankSizes: [5, 2] } }] },
      'stage "reader": episode.bankSizes is [5, 2]',
    ],
    ["no arm", withEvaluation({ arms: [] }), "experiment, at evaluation.arms: "],
    ["no metric", withEvaluation({ metrics: [] }), "experiment, at evaluation.metrics: "],
  ])("refuse %s", (_what, changed, part) => {
    expect(problemOf(() => resolveExperiment(changed))).toContain(part);
  });

  it("refuse what is no experiment at all", () => {
    expect(problemOf(() => resolveExperiment(undefined))).toContain("experiment");
    expect(problemOf(() => resolveExperiment([input]))).toContain("experiment");
  });
});
