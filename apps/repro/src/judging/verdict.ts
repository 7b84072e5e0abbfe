import { z } from "zod";
import { predictionLineSchema } from "./prediction-lines.ts";

const outcomeSchema = z.discriminatedUnion("status", [
  z.strictObject({ status: z.literal("graded"), score: z.number() }),
  z.strictObject({ status: z.literal("ungraded"), reason: z.string() }),
]);

/** One verdict, with all that it is a function of. */
export const verdictSchema = z.strictObject({
  judge: z.string(),
  /** The model's name, as it was asked for. */
  model: z.string(),
  /** Name and sha256 of the prompt file. */
  prompt: z.string(),
  promptSha256: z.string(),
  temperature: z.number(),
  maxTokens: z.number(),
  /** Whether the server was told the schema of the reply. */
  constrained: z.boolean(),
  /** Number of the run, from 0: sent as the seed. */
  seed: z.number(),
  /** How often the call was tried. */
  attempts: z.number().optional(),
  /** What the model wrote, as it is; absent where the call failed. */
  reply: z.string().optional(),
  outcome: outcomeSchema,
});
export type Verdict = z.infer<typeof verdictSchema>;

/** An answer as it came in, and what was made of it. */
export const judgedLineSchema = predictionLineSchema.extend({
  /** Of the file that it came from, from 1. */
  line: z.number(),
  /** sha256 of judge, model and everything that the model was shown: equal keys, equal verdicts. */
  key: z.string(),
  /** Mean over the runs that gave a verdict, 0 to 1; null where none did. */
  score: z.number().nullable(),
  /** Why the score is null, or why it needed no model. */
  reason: z.string().optional(),
  /** One for each run; none where the model was not asked. */
  verdicts: z.array(verdictSchema),
});
export type JudgedLine = z.infer<typeof judgedLineSchema>;
