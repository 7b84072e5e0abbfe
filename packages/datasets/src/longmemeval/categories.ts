import type { QuestionCategory } from "@memory-r1/spec";

/** The values of `question_type`. */
export const longMemEvalTypes = [
  "single-session-user",
  "single-session-preference",
  "single-session-assistant",
  "multi-session",
  "knowledge-update",
  "temporal-reasoning",
] as const;
export type LongMemEvalType = (typeof longMemEvalTypes)[number];

const named = (official: LongMemEvalType, memoryR1: string): QuestionCategory => ({
  code: official,
  names: { official, "memory-r1": memoryR1 },
});

/**
 * LongMemEval's question types under both naming schemes in use. `official` is the file's own name; `memory-r1` is the row
 * of the Memory-R1 paper's table, which calls single-session-assistant "OD". A question that asks for what was never said
 * keeps its type (30 of the 500 do): `answerable` tells those apart.
 */
export const longMemEvalCategories: Readonly<Record<LongMemEvalType, QuestionCategory>> = {
  "single-session-user": named("single-session-user", "SSU"),
  "single-session-preference": named("single-session-preference", "SSP"),
  "single-session-assistant": named("single-session-assistant", "OD"),
  "multi-session": named("multi-session", "MS"),
  "knowledge-update": { ...named("knowledge-update", "KU"), isUpdate: true },
  "temporal-reasoning": named("temporal-reasoning", "TR"),
};
