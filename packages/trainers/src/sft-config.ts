import { z } from "zod";
import { grpoConfigSchema } from "./grpo-config.ts";

const { shape } = grpoConfigSchema;

/** Everything that decides what supervised fine-tuning learns, with defaults. */
export const sftConfigSchema = z.strictObject({
  steps: shape.steps,
  data: z.discriminatedUnion("kind", [
    /** Completions that someone else wrote, such as a stronger model: the paper's Memory-SFT. */
    z.strictObject({
      kind: z.literal("traces"),
      /** Traces per step, drawn without repetition until all have been. */
      batchSize: z.int().positive().default(16),
    }),
    /** The policy's own completions, those of them that turned out well: rejection sampling. */
    z.strictObject({
      kind: z.literal("rollouts"),
      samplesPerTask: z.int().positive().default(8),
      maxCompletionTokens: shape.maxCompletionTokens,
      resampleTries: shape.resampleTries,
      samplingParts: shape.samplingParts,
      keep: z
        .discriminatedUnion("kind", [
          /** Every episode with at least this reward. */
          z.strictObject({ kind: z.literal("threshold"), reward: z.number() }),
          /** Every episode that is better than the mean of its group: none where all are equal. */
          z.strictObject({ kind: z.literal("better-than-mean") }),
          /** The best of each group, the earlier of equals; none with less than `atLeast`, where that is given. */
          z.strictObject({
            kind: z.literal("best"),
            count: z.int().positive().default(1),
            atLeast: z.number().optional(),
          }),
        ])
        .default({ kind: "better-than-mean" }),
    }),
  ]),
  aggregation: shape.aggregation,
  /** Passes over a step's completions, and optimiser steps per pass. */
  epochs: shape.epochs,
  minibatches: shape.minibatches,
  learningRate: shape.learningRate,
  adam: shape.adam,
  validateEvery: shape.validateEvery,
  checkpointEvery: shape.checkpointEvery,
  patience: shape.patience,
});

export type SftConfig = z.infer<typeof sftConfigSchema>;
/** What a caller writes: fields with a default may be left out. */
export type SftConfigInput = z.input<typeof sftConfigSchema>;

/** Which of a group's episodes are imitated. */
export type KeepRule = Extract<SftConfig["data"], { readonly kind: "rollouts" }>["keep"];
