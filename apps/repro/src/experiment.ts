import { defaultRerankerName } from "@memory-r1/engine";
import { ConfigError, DataFormatError, parseJson, parseValue } from "@memory-r1/spec";
import { z } from "zod";
import { buildStageConfig, fillFromPreset } from "./stage-config.ts";
import { managerEpisode, metricName, rewardSource } from "./training-options.ts";

const trainingStage = z.strictObject({
  /** Names the stage's folder and its trained agent; later stages and arms refer to the agent, not to the stage. */
  name: z.string().regex(/^[a-z0-9-]+$/),
  agent: z.enum(["manager", "answer"]),
  /**
   * GRPO and PPO learn from rewards, PPO with a critic. SFT imitates: completions of a file (`traces`, the paper's
   * Memory-SFT) or the agent's own that were better than their group.
   */
  algorithm: z.enum(["grpo", "ppo", "sft"]).default("grpo"),
  /** A named configuration of packages/trainers for what is not said here; docs/training-presets.md lists them. */
  preset: z.string().optional(),
  /** Answer Agent only: whose banks its memories come from. */
  banks: z.enum(["add-everything", "manager"]).default("manager"),
  steps: z.number().int().min(1),
  tasksPerStep: z.number().int().min(1),
  samplesPerTask: z.number().int().min(1).default(8),
  /** The policy's. */
  learningRate: z.number().positive(),
  /** PPO's critic's; absent: in the preset's proportion to the policy's, or ten times it, as in the paper. */
  criticLearningRate: z.number().positive().optional(),
  warmupSteps: z.number().int().min(0).default(0),
  reward: rewardSource.default("squad-f1"),
  /** Validate every so many steps; the best healthy checkpoint is kept. */
  validateEvery: z.number().int().min(1).default(10),
  checkpointEvery: z.number().int().min(1).default(5),
  maxGradientNorm: z.number().min(0).default(1),
  klCoefficient: z.number().min(0).default(0),
  advantageScale: z.enum(["group", "batch", "none"]).default("group"),
  lossAggregation: z
    .enum([
      "token-mean",
      "sequence-mean-token-mean",
      "sequence-mean-token-sum",
      "sequence-mean-token-sum-norm",
    ])
    .default("token-mean"),
  /** SFT only: a JSONL file of traces, relative to the repository; absent: own rollouts are imitated. */
  traces: z.string().optional(),
  /**
   * Any other setting of the algorithm's configuration, as packages/trainers names it: `{"gae": {"lambda": 0.95}}` of
   * PPO, `{"loss": {"kind": "gspo"}}` of GRPO, `{"data": {"keep": {"kind": "best"}}}` of SFT.
   */
  settings: z.record(z.string(), z.json()).default({}),
  /** Manager only. */
  episode: managerEpisode.prefault({}),
});
export type TrainingStage = z.infer<typeof trainingStage>;

/** The parts of a split that arms are asked about, in the order of the tables. */
export const evaluatedSplits = ["validation", "test"] as const;
export type EvaluatedSplit = (typeof evaluatedSplits)[number];

const arm = z.strictObject({
  name: z.string().regex(/^[a-z0-9-]+$/),
  /**
   * What the table calls the memory system, and this variation of it: `{algorithm}` in it becomes what trained the arm's
   * agents.
   */
  system: z.string(),
  variant: z.string(),
  memory: z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("baseline"), baseline: z.string() }),
    z.strictObject({
      kind: z.literal("bank"),
      manager: z.enum(["add-everything", "untrained", "untrained-unconstrained", "trained"]),
    }),
  ]),
  /** Who answers. Where it is `untrained`, a system that answers by itself does; every other reads its memories to the Answer Agent. */
  answer: z.enum(["untrained", "trained"]),
  /** How this arm's Answer Agent is asked, for an ablation; absent: as `answer.variant` says. */
  answerVariant: z.string().optional(),
  /**
   * What the prompt holds: the retrieved memories, or one of the controls that tell reading from form: the memories
   * of the gold evidence, another conversation's memories, or none.
   */
  context: z.enum(["retrieved", "oracle", "other-conversation", "none"]).default("retrieved"),
  /**
   * A cross-encoder chooses what the prompt shows, in place of a reader that distils: of all that the memory stores, whatever
   * memory it is, the retriever's best `candidates` are ordered by it and the best `keep` are shown (absent:
   * `answer.memories`). A system's own search and answer are not asked.
   */
  rerank: z
    .strictObject({
      candidates: z.number().int().min(1).default(60),
      keep: z.number().int().min(1).optional(),
    })
    .optional(),
  /** Whose questions this arm is asked; a control can do with the validation conversation's. */
  splits: z
    .array(z.enum(evaluatedSplits))
    .min(1)
    .default([...evaluatedSplits]),
});
export type Arm = z.infer<typeof arm>;

export const experimentSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9-]+$/),
  description: z.string(),
  dataset: z.string(),
  /** One of the data set's splits; absent: its usual one. */
  split: z.string().optional(),
  seed: z.number().int().min(0).default(1),
  model: z.strictObject({
    name: z.string(),
    dtype: z.enum(["float32", "bfloat16"]).default("float32"),
    /** How the engine cuts training calls; see "Memory" in packages/engine-torch/README.md. It moves roundings. */
    microBatchTokens: z.number().int().min(1).optional(),
    trainingMemoryGib: z.number().positive().optional(),
    gradientCheckpointing: z.enum(["auto", "on", "off"]).optional(),
  }),
  embedding: z.string().default("all-minilm-l6-v2"),
  lora: z
    .strictObject({
      rank: z.number().int().min(1).default(16),
      alpha: z.number().positive().default(32),
    })
    .prefault({}),
  manager: z
    .strictObject({
      format: z.string().default("compact"),
      constrained: z.boolean().default(true),
      shown: z.number().int().min(0).default(3),
      maxTokens: z.number().int().min(1).default(48),
    })
    .prefault({}),
  answer: z
    .strictObject({
      variant: z.string().default("short"),
      memories: z.number().int().min(1).default(8),
      maxTokens: z.number().int().min(1).optional(),
    })
    .prefault({}),
  retriever: z.string().default("dense"),
  /** What systems that ask the chat model themselves are given; see SystemOptions of packages/baselines. */
  systems: z
    .strictObject({
      contextTokens: z.number().int().min(256).default(2048),
      replyTokens: z.number().int().min(1).default(256),
      constrained: z.boolean().default(false),
      /** Conversations, over all systems, whose requests are decoded as one batch. */
      concurrent: z.number().int().min(1).default(16),
    })
    .prefault({}),
  training: z.array(trainingStage).default([]),
  evaluation: z.strictObject({
    validation: z.boolean().default(true),
    /**
     * Test conversations drawn with the run's seed, since every Manager has to play each of them whole; absent: all.
     * The questions are drawn from these.
     */
    testConversations: z.number().int().min(1).optional(),
    /** Questions drawn from the test conversations with the run's seed; absent: all, 0: none. */
    testSample: z.number().int().min(0).optional(),
    /**
     * Only the first so many sessions of each conversation are told, and only questions whose evidence lies wholly in
     * them are asked; absent: all. Training is not touched by it.
     */
    sessions: z.number().int().min(1).optional(),
    /**
     * Adversarial questions (LoCoMo's category 5) of the test conversations that are asked besides, drawn with the
     * run's seed; all where there are fewer. They are scored on refusal alone, in a table of their own.
     */
    adversarialSample: z.number().int().min(0).default(0),
    metrics: z.array(metricName).min(1),
    /** The metric of the intervals and of the paired comparisons. */
    mainMetric: metricName,
    /** Naming scheme of the categories in tables (LoCoMo: official, mem0, memorybench); absent: the data set's first. */
    categoryNaming: z.string().optional(),
    /** The cross-encoder of the arms that rerank: a Hugging Face id or a folder. Loaded where an arm needs it. */
    reranker: z.strictObject({ name: z.string().min(1).default(defaultRerankerName) }).optional(),
    arms: z.array(arm).min(1),
    /** Pairs of arm names: the second minus the first, with a paired bootstrap interval. */
    comparisons: z.array(z.tuple([z.string(), z.string()])).default([]),
  }),
});

/** An experiment with every default filled in. */
export type Experiment = z.infer<typeof experimentSchema>;

type StageInput = z.input<typeof trainingStage>;
type ByPreset = "tasksPerStep" | "learningRate";

/** An experiment as a file of benchmarks/ writes it: what has a default, or is in a stage's preset, may be left out. */
export type ExperimentInput = Omit<z.input<typeof experimentSchema>, "training"> & {
  readonly training?: readonly (Omit<StageInput, ByPreset> & Partial<Pick<StageInput, ByPreset>>)[];
};

/** Gives an experiment file its types; checking happens when it is run. */
export function defineExperiment(input: ExperimentInput): ExperimentInput {
  return input;
}

/** A `--set a.b=c` of the command line: the path, and the value as JSON or, failing that, as text. */
export type Override = readonly [path: string, value: string];

/** Applies overrides and checks the whole. @throws ConfigError naming the field */
export function resolveExperiment(input: unknown, overrides: readonly Override[] = []): Experiment {
  const overridden = overrides.reduce<unknown>(
    (value, [path, text]) => withValue(value, path.split("."), parseOverride(text), path),
    input,
  );
  try {
    return nameReranker(
      nameAlgorithms(
        checkReferences(parseValue(withPresets(overridden), experimentSchema, "experiment")),
      ),
    );
  } catch (cause) {
    if (cause instanceof DataFormatError) throw new ConfigError(cause.message, cause);
    throw cause;
  }
}

const stagesSchema = z.looseObject({ training: z.array(z.unknown()) });

function withPresets(input: unknown): unknown {
  const parsed = stagesSchema.safeParse(input);
  if (!parsed.success) return input;
  return { ...parsed.data, training: parsed.data.training.map(fillFromPreset) };
}

/** Writes how an arm's agents were trained where its variant says `{algorithm}`: "GRPO", or "SFT + PPO". */
function nameAlgorithms(experiment: Experiment): Experiment {
  const { training, evaluation } = experiment;
  const arms = evaluation.arms.map((item) => {
    const agents = [
      ...(item.memory.kind === "bank" && item.memory.manager === "trained" ? ["manager"] : []),
      ...(item.answer === "trained" ? ["answer"] : []),
    ];
    const used = training.filter(({ agent }) => agents.includes(agent));
    const names = [...new Set(used.map(({ algorithm }) => algorithm.toUpperCase()))];
    if (item.variant.includes("{algorithm}") && names.length === 0)
      throw new ConfigError(
        `arm "${item.name}" names an {algorithm} but has no trained agent. Write what it is.`,
      );
    return { ...item, variant: item.variant.replaceAll("{algorithm}", names.join(" + ")) };
  });
  return { ...experiment, evaluation: { ...evaluation, arms } };
}

/** Writes which reranker is meant where an arm has one and nothing names it, so that a run's configuration says so. */
function nameReranker(experiment: Experiment): Experiment {
  const { evaluation } = experiment;
  if (evaluation.reranker !== undefined || !evaluation.arms.some(({ rerank }) => rerank))
    return experiment;
  return { ...experiment, evaluation: { ...evaluation, reranker: { name: defaultRerankerName } } };
}

/** How many memories an arm's prompt shows at most. */
export function shownMemories({ answer }: Pick<Experiment, "answer">, { rerank }: Arm): number {
  return rerank?.keep ?? answer.memories;
}

function parseOverride(text: string): unknown {
  try {
    return parseJson(text, z.unknown(), "--set");
  } catch (cause) {
    // Not JSON: it is meant as text, as in `--set model.dtype=float32`.
    if (cause instanceof DataFormatError) return text;
    throw cause;
  }
}

function withValue(
  target: unknown,
  path: readonly string[],
  value: unknown,
  whole: string,
): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (Array.isArray(target)) {
    const index = Number(key);
    if (!Number.isInteger(index) || index < 0 || index >= target.length) {
      throw new ConfigError(
        `--set ${whole}: "${key}" is no index of a list of ${target.length}. ` +
          (target.length === 0 ? "Set the whole list." : `Use 0 to ${target.length - 1}.`),
      );
    }
    return target.map((item: unknown, position) =>
      position === index ? withValue(item, rest, value, whole) : item,
    );
  }
  const fields: Record<string, unknown> =
    typeof target === "object" && target !== null ? { ...target } : {};
  fields[key] = withValue(fields[key], rest, value, whole);
  return fields;
}

/** What the schema cannot say, and what would otherwise come out after hours, in the table. */
function checkReferences(experiment: Experiment): Experiment {
  const stageNames = experiment.training.map((stage) => stage.name);
  const stageTwice = firstRepeated(stageNames);
  if (stageTwice !== undefined) {
    throw new ConfigError(
      `training: two stages are named "${stageTwice}" and would share a folder. Give each its own name.`,
    );
  }
  for (const stage of experiment.training) {
    // How long completions may be is the agents' affair: any length will do to check the rest.
    buildStageConfig(stage, 1);
    if (stage.traces !== undefined && stage.algorithm !== "sft")
      throw new ConfigError(
        `stage "${stage.name}": traces are imitated by "sft", but its algorithm is "${stage.algorithm}".`,
      );
    const [smallest, largest] = stage.episode.bankSizes;
    if (smallest > largest) {
      throw new ConfigError(
        `stage "${stage.name}": episode.bankSizes is [${smallest}, ${largest}]. Write the smaller one first.`,
      );
    }
  }
  const arms = new Map(experiment.evaluation.arms.map((item) => [item.name, item]));
  if (arms.size < experiment.evaluation.arms.length) {
    throw new ConfigError("evaluation.arms: two arms have the same name. Give each its own.");
  }
  const labels = experiment.evaluation.arms.map(({ system, variant }) => `${system}, ${variant}`);
  const labelTwice = firstRepeated(labels);
  if (labelTwice !== undefined) {
    throw new ConfigError(
      `evaluation.arms: two arms are "${labelTwice}" in the table. Give each its own system or variant.`,
    );
  }
  for (const name of experiment.evaluation.comparisons.flat()) {
    if (!arms.has(name)) {
      throw new ConfigError(
        `evaluation.comparisons: no arm is named "${name}". Arms: ${[...arms.keys()].join(", ")}.`,
      );
    }
  }
  const trained = new Set(experiment.training.map((stage) => stage.agent));
  for (const item of arms.values()) {
    if (item.answer === "trained" && !trained.has("answer")) {
      throw new ConfigError(
        `arm "${item.name}" wants a trained Answer Agent, but no stage of training makes one.`,
      );
    }
    if (item.rerank !== undefined) {
      if (item.context !== "retrieved")
        throw new ConfigError(
          `arm "${item.name}" reranks, but its context is "${item.context}", for which nothing is retrieved. Leave out ` +
            "rerank or context.",
        );
      const keep = shownMemories(experiment, item);
      if (item.rerank.candidates < keep)
        throw new ConfigError(
          `arm "${item.name}" keeps the best ${keep} of ${item.rerank.candidates} candidates. Give more ` +
            "rerank.candidates than are kept, or keep fewer (rerank.keep; absent: answer.memories).",
        );
    }
    if (
      item.memory.kind === "bank" &&
      item.memory.manager === "trained" &&
      !trained.has("manager")
    ) {
      throw new ConfigError(
        `arm "${item.name}" wants a trained Manager, but no stage of training makes one.`,
      );
    }
  }
  if (!experiment.evaluation.metrics.includes(experiment.evaluation.mainMetric)) {
    throw new ConfigError("evaluation.mainMetric must be one of evaluation.metrics.");
  }
  return experiment;
}

function firstRepeated(texts: readonly string[]): string | undefined {
  return texts.find((text, index) => texts.indexOf(text) < index);
}
