import { z } from "zod";
import { klEstimators } from "./kl.ts";

/** What each policy loss may add to its policy term; absent is off. */
const lossTerms = {
  /** The divergence from the base model, times a coefficient; see `KlOptions`. */
  kl: z
    .strictObject({
      coefficient: z.number().nonnegative(),
      estimator: z.enum(klEstimators).default("k3"),
      clamp: z.number().nonnegative().default(0),
    })
    .optional(),
  entropyCoefficient: z.number().nonnegative().optional(),
  logRatioClamp: z.number().nonnegative().optional(),
};

/** Everything that decides what a GRPO run learns, with defaults. Part of an experiment's configuration. */
export const grpoConfigSchema = z.strictObject({
  /** Steps in all; a finished run goes on when this is raised. */
  steps: z.int().min(0),
  /** G, the episodes per task. */
  samplesPerTask: z.int().min(2).default(8),
  maxCompletionTokens: z.int().positive(),
  /** How often a group whose rewards are all equal is sampled again at most (DAPO's dynamic sampling, bounded). */
  resampleTries: z.int().nonnegative().default(0),
  /**
   * Parts of a step's tasks that are sampled one after the other: the rewards of one are computed while the next is
   * sampled, which pays where something else than the engine gives them.
   */
  samplingParts: z.int().positive().default(1),
  /**
   * Nats. A sampled token about whose log-probability sampler and trainer differ by more is counted and warned of: in
   * float32 they agree to 1e-4, in bfloat16 to a few hundredths.
   */
  logProbGapLimit: z.number().positive().default(0.1),
  advantages: z
    .strictObject({
      scale: z.enum(["group", "batch", "none"]).default("group"),
      epsilon: z.number().nonnegative().default(1e-6),
      bessel: z.boolean().default(true),
      /** Absent: the group's mean. */
      baseline: z.enum(["group-mean", "leave-one-out"]).optional(),
    })
    .prefault({}),
  /** The policy's loss; see `PolicyLoss`, whose names and meanings these are. */
  loss: z
    .discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("importance_sampling"), ...lossTerms }),
      z.strictObject({
        kind: z.literal("ppo"),
        /** The ratio is held in [1 - clipLow, 1 + clipHigh]. */
        clipLow: z.number().positive().max(1).default(0.2),
        clipHigh: z.number().positive().default(0.2),
        /** More than 1; 0 or absent is off. verl has 3. */
        dualClip: z.union([z.literal(0), z.number().gt(1)]).optional(),
        ...lossTerms,
      }),
      z.strictObject({
        kind: z.literal("cispo"),
        /** 1 leaves out the lower bound. */
        clipLow: z.number().positive().max(1).default(1),
        /** TRL advises 5 - 1 (arXiv 2510.13786). */
        clipHigh: z.number().positive().default(4),
        ...lossTerms,
      }),
      z.strictObject({
        kind: z.literal("gspo"),
        /** Ratios of whole sequences lie much closer to 1: these are those of arXiv 2507.18071. */
        clipLow: z.number().positive().max(1).default(3e-4),
        clipHigh: z.number().positive().default(4e-4),
        ...lossTerms,
      }),
    ])
    .default({ kind: "importance_sampling" }),
  /** How token losses become one number; see `LossAggregation`. */
  aggregation: z
    .discriminatedUnion("kind", [
      z.strictObject({
        kind: z.enum(["token-mean", "sequence-mean-token-mean", "sequence-mean-token-sum"]),
      }),
      z.strictObject({
        kind: z.enum(["sequence-mean-token-sum-norm", "token-sum-norm"]),
        length: z.number().positive(),
      }),
    ])
    .default({ kind: "token-mean" }),
  /** Passes over a step's samples, and optimiser steps per pass. 1 and 1 is on-policy; more needs a loss that clips. */
  epochs: z.int().positive().default(1),
  minibatches: z.int().positive().default(1),
  /**
   * Strength of a k1 penalty in the advantages for drifting from the base model; 0 is off and costs nothing. The other
   * place for a penalty is `loss.kl`.
   */
  klCoefficient: z.number().nonnegative().default(0),
  learningRate: z.strictObject({
    peak: z.number().positive(),
    warmUpSteps: z.int().nonnegative().default(0),
  }),
  adam: z
    .strictObject({
      beta1: z.number().min(0).max(1).default(0.9),
      beta2: z.number().min(0).max(1).default(0.999),
      epsilon: z.number().nonnegative().default(1e-8),
      weightDecay: z.number().nonnegative().default(0),
      /** Gradients with a larger norm are scaled down to it; 0 is off. */
      clipNorm: z.number().nonnegative().default(1),
    })
    .prefault({}),
  /** Steps between validations. There is one before the first step and one after the last, too. */
  validateEvery: z.int().positive().default(5),
  /** Steps between rolling checkpoints. A new best is a checkpoint, too. */
  checkpointEvery: z.int().positive().default(5),
  /** Stop after this many validations without a new best; absent: never. */
  patience: z.int().positive().optional(),
});

export type GrpoConfig = z.infer<typeof grpoConfigSchema>;
/** What a caller writes: fields with a default may be left out. */
export type GrpoConfigInput = z.input<typeof grpoConfigSchema>;
