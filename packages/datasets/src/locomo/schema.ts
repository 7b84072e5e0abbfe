import { z } from "zod";

const text = z.string().min(1, "is empty");

const notAnAnswer = { error: "must be text or a whole number that JavaScript keeps exactly" };
const textOrWholeNumber = z.union([z.string(), z.int(notAnAnswer)], notAnAnswer);

/** `D3:11`-like ids as the file writes them: one id, several in one string, or a list. */
const referencesSchema = z.union([z.string(), z.array(z.string())], {
  error: "must be text or a list of texts",
});
const observationSchema = z.tuple([text, referencesSchema]);

export const locomoTurnSchema = z.object({
  speaker: text,
  dia_id: text,
  text: text,
  blip_caption: z.string().optional(),
  img_url: z.array(z.string()).optional(),
  // How the authors found the picture: nothing that was said or shown, so not read.
  query: z.string().optional(),
  "re-download": z.boolean().optional(),
});
export type LocomoTurn = z.infer<typeof locomoTurnSchema>;

export const locomoTurnsSchema = z.array(locomoTurnSchema);

export const locomoQuestionSchema = z.object({
  question: text,
  answer: textOrWholeNumber.optional(),
  evidence: z.array(z.string()),
  category: z.int().min(1, "must be 1 to 5").max(5, "must be 1 to 5"),
  adversarial_answer: z.string().optional(),
});
export type LocomoQuestion = z.infer<typeof locomoQuestionSchema>;

/** Facts of one session by speaker. */
const locomoObservationSchema = z.record(z.string(), z.array(observationSchema));

/** What happened by a session's date: a list for each speaker, and the date. */
const locomoEventsSchema = z.record(
  z.string(),
  z.union([z.string(), z.array(z.string())], { error: "must be text or a list of texts" }),
);

/** `session_N` and `session_N_date_time` keys are read by number, see `readLocomo`. */
export const locomoConversationSchema = z.looseObject({
  speaker_a: text,
  speaker_b: text,
});

export const locomoSampleSchema = z.looseObject({
  sample_id: text,
  conversation: locomoConversationSchema,
  qa: z.array(locomoQuestionSchema),
  observation: z.record(z.string(), locomoObservationSchema),
  session_summary: z.record(z.string(), z.string()).optional(),
  event_summary: z.record(z.string(), locomoEventsSchema).optional(),
});

/** The whole file: a list of conversations with their questions. Unknown keys pass and are reported as notes. */
export const locomoFileSchema = z.array(locomoSampleSchema).min(1, "holds no conversation");
export type LocomoSample = z.infer<typeof locomoSampleSchema>;
