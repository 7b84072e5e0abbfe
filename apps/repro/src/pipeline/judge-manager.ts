import type { Validation } from "@memory-r1/trainers";

/** What an episode on the validation conversation came to. */
export interface PlayedValidation {
  /** Mean score of the answers; undefined where none could be graded. */
  readonly answerScore: number | undefined;
  /** Share of the gold-evidence turns of which the bank tells nothing, 0 to 1. */
  readonly missing: number;
  readonly metrics: Readonly<Record<string, number>>;
}

/**
 * The score is the answers' mean plus the share of evidence kept, since a weak reader alone hardly notices a lost fact.
 * Healthy: the bank is not empty, and no more of the evidence is gone from it than before training.
 */
export function judgeManager(
  { answerScore, missing, metrics }: PlayedValidation,
  missingBefore: number | undefined,
): Validation {
  const verdict = { score: (answerScore ?? 0) + (1 - missing), metrics };
  if (answerScore === undefined) {
    return { ...verdict, healthy: false, reason: "no validation question could be graded" };
  }
  if ((metrics["bankSize"] ?? 0) === 0) {
    return { ...verdict, healthy: false, reason: "the bank stayed empty" };
  }
  if (missingBefore !== undefined && missing > missingBefore) {
    return { ...verdict, healthy: false, reason: "more evidence is missing than before training" };
  }
  return { ...verdict, healthy: true };
}
