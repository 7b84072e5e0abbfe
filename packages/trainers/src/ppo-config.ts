import { z } from "zod";
import { grpoConfigSchema } from "./grpo-config.ts";
import { klEstimators } from "./kl.ts";

const { shape } = grpoConfigSchema;

/** Everything that decides what a PPO run learns, with defaults: what GRPO has, too, means the same. */
export const ppoConfigSchema = z.strictObject({
  steps: shape.steps,
  /** Episodes per task. A critic needs no group to compare with: 1 in the paper and verl. */
  samplesPerTask: z.int().positive().default(1),
  maxCompletionTokens: shape.maxCompletionTokens,
  resampleTries: shape.resampleTries,
  samplingParts: shape.samplingParts,
  logProbGapLimit: shape.logProbGapLimit,
  /** verl's defaults: then an advantage is the return minus the value. TRL has lambda 0.95. */
  gae: z
    .strictObject({
      gamma: z.number().min(0).max(1).default(1),
      lambda: z.number().min(0).max(1).default(1),
    })
    .prefault({}),
  /** Advantages of a step to mean 0 and deviation 1 over all tokens; see `whiten`. verl's `divisorEpsilon` is 1e-8. */
  whitening: z
    .strictObject({
      enabled: z.boolean().default(true),
      epsilon: z.number().nonnegative().default(1e-8),
      divisorEpsilon: z.number().nonnegative().default(0),
    })
    .prefault({}),
  /** The policy's loss. */
  loss: shape.loss.unwrap().default({ kind: "ppo", clipLow: 0.2, clipHigh: 0.2 }),
  /** How token losses become one number, for policy and critic. */
  aggregation: shape.aggregation,
  epochs: shape.epochs,
  minibatches: shape.minibatches,
  /** How far a value may move from that at sampling before its loss stops falling: 0.5 in verl, 0.2 in TRL. */
  valueClip: z.number().positive().default(0.5),
  /** A penalty on every token's reward for drifting from the base model. Coefficient 0 is off and costs nothing. */
  kl: z
    .strictObject({
      coefficient: z.number().nonnegative().default(0),
      estimator: z.enum(klEstimators).default("k1"),
      /** See `KlOptions`. */
      clamp: z.number().nonnegative().default(0),
      /** Moves the coefficient so that the divergence comes to `target`; absent: it is fixed. */
      adaptive: z
        .strictObject({ target: z.number().positive(), horizon: z.number().positive() })
        .optional(),
    })
    .prefault({}),
  /** The policy's; 1e-6 in the paper, for all weights of 3 to 14 billion. */
  learningRate: shape.learningRate,
  /** 1e-5 in the paper. */
  criticLearningRate: shape.learningRate,
  /** Steps at the start in which the critic learns alone. */
  criticWarmUpSteps: z.int().nonnegative().default(0),
  adam: shape.adam,
  validateEvery: shape.validateEvery,
  checkpointEvery: shape.checkpointEvery,
  patience: shape.patience,
});

export type PpoConfig = z.infer<typeof ppoConfigSchema>;
/** What a caller writes: fields with a default may be left out. */
export type PpoConfigInput = z.input<typeof ppoConfigSchema>;
