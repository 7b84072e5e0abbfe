import { z } from "zod";
import { dtypes } from "./measure-pair.ts";

/** One step of the training loop in TypeScript with the engine behind HTTP, as a run has it. */
export const loopObservationSchema = z.strictObject({
  shape: z.string(),
  dtype: z.enum(dtypes),
  /** From 1. */
  repetition: z.int().positive(),
  stepSeconds: z.number().positive(),
  /** While the event loop of Node was busy: prompts, tokens, JSON, rewards, advantages, records. */
  typescriptSeconds: z.number().nonnegative(),
  /** Of the Node process, over all its threads: compiling and collecting garbage included. */
  typescriptProcessorSeconds: z.number().nonnegative(),
});
export type LoopObservation = z.infer<typeof loopObservationSchema>;
