import type { Answer } from "@memory-r1/core";

/** Mean score of the answers that could be graded, and counts of all. */
export interface AnswerSummary {
  /** Undefined where nothing could be graded. */
  readonly mean: number | undefined;
  readonly counts: {
    readonly graded: number;
    readonly unparsable: number;
    readonly failed: number;
  };
}

/**
 * @param scores those of the answers, in their order, as gradeAnswers gives them: an unparsable reply has scored 0, a
 * failed call has no score
 */
export function summariseAnswers(
  answers: readonly Answer[],
  scores: readonly (number | undefined)[],
): AnswerSummary {
  const graded = scores.filter((score) => score !== undefined);
  const countOf = (status: Answer["status"]): number =>
    answers.filter((answer) => answer.status === status).length;
  return {
    mean:
      graded.length === 0
        ? undefined
        : graded.reduce((sum, score) => sum + score, 0) / graded.length,
    counts: {
      graded: graded.length,
      unparsable: countOf("unparsable"),
      failed: countOf("failed"),
    },
  };
}
