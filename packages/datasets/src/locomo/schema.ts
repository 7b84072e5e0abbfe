import { z } from "zod";

/** `D3:11`-like ids as the file writes them: one id, several in one string, or a list. */
const observationSchema = z.tuple([z.string().min(1), z.union([z.string(), z.array(z.string())])]);

export const locomoTurnSchema = z.looseObject({
  speaker: z.string().min(1),
  dia_id: z.string().min(1),
  text: z.string().min(1),
  blip_caption: z.string().optional(),
  img_url: z.array(z.string()).optional(),
  query: z.string().optional(),
  "re-download": z.boolean().optional(),
});
export type LocomoTurn = z.infer<typeof locomoTurnSchema>;

export const locomoQuestionSchema = z.looseObject({
  question: z.string().min(1),
  answer: z.union([z.string(), z.number()]).optional(),
  evidence: z.array(z.string()),
  category: z.int().min(1).max(5),
  adversarial_answer: z.string().optional(),
});
export type LocomoQuestion = z.infer<typeof locomoQuestionSchema>;

/** Facts of one session by speaker. */
const locomoObservationSchema = z.record(z.string(), z.array(observationSchema));

/** `session_N` and `session_N_date_time` keys are read by number, see `parseLocomo`. */
export const locomoConversationSchema = z.looseObject({
  speaker_a: z.string().min(1),
  speaker_b: z.string().min(1),
});

export const locomoSampleSchema = z.looseObject({
  sample_id: z.string().min(1),
  conversation: locomoConversationSchema,
  qa: z.array(locomoQuestionSchema),
  observation: z.record(z.string(), locomoObservationSchema),
  // Summaries that nothing here reads; the mini set has none.
  session_summary: z.unknown().optional(),
  event_summary: z.unknown().optional(),
});

/** The whole file: a list of conversations with their questions. Unknown keys pass and are reported as notes. */
export const locomoFileSchema = z.array(locomoSampleSchema).min(1);
export type LocomoSample = z.infer<typeof locomoSampleSchema>;
