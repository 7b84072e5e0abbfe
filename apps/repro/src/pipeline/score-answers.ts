import type { Answer, AnswerScore } from "@memory-r1/core";
import type { Question } from "@memory-r1/spec";

/** Mean score of the answers that could be graded, and counts of all. An unparsable reply scores 0; a failed call is left out. */
export interface AnswerSummary {
  /** Undefined where nothing could be graded. */
  readonly mean: number | undefined;
  readonly counts: {
    readonly graded: number;
    readonly unparsable: number;
    readonly failed: number;
  };
}

export function summariseAnswers(
  answers: readonly Answer[],
  questions: readonly Question[],
  score: AnswerScore,
): AnswerSummary {
  let sum = 0;
  let graded = 0;
  let unparsable = 0;
  let failed = 0;
  for (const [index, question] of questions.entries()) {
    const answer = answers[index];
    if (answer === undefined || answer.status === "failed") {
      failed += 1;
      continue;
    }
    if (answer.status === "unparsable") unparsable += 1;
    const value = answer.status === "answered" ? score(answer.answer, question) : 0;
    if (value === undefined) continue;
    sum += value;
    graded += 1;
  }
  return { mean: graded === 0 ? undefined : sum / graded, counts: { graded, unparsable, failed } };
}
