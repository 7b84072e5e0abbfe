import { z } from "zod";
import { longMemEvalTypes } from "./categories.ts";

export const longMemEvalTurnSchema = z.looseObject({
  role: z.enum(["user", "assistant"]),
  content: z.string(),
  // Marks evidence where it is true. Whatever else stands here is noted, see `parseLongMemEvalRecord`.
  has_answer: z.json().optional(),
});

/**
 * One question with the history that it is asked about, as the three files hold 500 of. Written from the description of the
 * format (README of xiaowu0162/LongMemEval at 9e0b455): unknown keys pass and are noted, `answer` may be of any type.
 */
export const longMemEvalRecordSchema = z
  .looseObject({
    question_id: z.string().min(1),
    question_type: z.enum(longMemEvalTypes),
    question: z.string().min(1),
    answer: z.json().optional(),
    question_date: z.string().min(1),
    haystack_session_ids: z.array(z.string().min(1)),
    haystack_dates: z.array(z.string().min(1)),
    haystack_sessions: z.array(z.array(longMemEvalTurnSchema)),
    answer_session_ids: z.array(z.string().min(1)),
  })
  .superRefine((record, context) => {
    const sessions = record.haystack_sessions.length;
    for (const key of ["haystack_session_ids", "haystack_dates"] as const) {
      const { length } = record[key];
      if (length === sessions) continue;
      context.addIssue({
        code: "custom",
        path: [key],
        message: `has ${length} entries for ${sessions} sessions of haystack_sessions`,
      });
    }
  });
export type LongMemEvalRecord = z.infer<typeof longMemEvalRecordSchema>;
