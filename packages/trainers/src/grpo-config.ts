import { z } from "zod";

/** Everything that decides what a GRPO run learns, with defaults. Part of an experiment's configuration. */
export const grpoConfigSchema = z.strictObject({
  /** Steps in all; a finished run goes on when this is raised. */
  steps: z.int().min(0),
  /** G, the episodes per task. */
  samplesPerTask: z.int().min(2).default(8),
  maxCompletionTokens: z.int().positive(),
  advantages: z
    .strictObject({
      scale: z.enum(["group", "batch", "none"]).default("group"),
      epsilon: z.number().nonnegative().default(1e-6),
      bessel: z.boolean().default(true),
    })
    .prefault({}),
  loss: z
    .discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("importance_sampling") }),
      z.strictObject({
        kind: z.literal("ppo"),
        /** The ratio is held in [1 - clipLow, 1 + clipHigh]. */
        clipLow: z.number().positive().max(1).default(0.2),
        clipHigh: z.number().positive().default(0.2),
      }),
    ])
    .default({ kind: "importance_sampling" }),
  aggregation: z
    .discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("token-mean") }),
      z.strictObject({ kind: z.literal("sequence-mean-token-mean") }),
      z.strictObject({
        kind: z.literal("sequence-mean-token-sum-norm"),
        length: z.number().positive(),
      }),
    ])
    .default({ kind: "token-mean" }),
  /** Passes over a step's samples, and optimiser steps per pass. 1 and 1 is on-policy; more needs the `ppo` loss. */
  epochs: z.int().positive().default(1),
  minibatches: z.int().positive().default(1),
  /** Strength of the k1 penalty for drifting from the base model; 0 is off and costs nothing. */
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
