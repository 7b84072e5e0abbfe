import type { Validation } from "@memory-r1/trainers";

/** What whole episodes on the validation conversations came to. */
export interface PlayedValidation {
  /** Mean score of the answers; undefined where none could be graded. */
  readonly answerScore: number | undefined;
  /** Share of the gold-evidence turns of which the banks tell nothing, 0 to 1; undefined where no question cites any. */
  readonly missing: number | undefined;
  readonly emptyBanks: number;
  readonly metrics: Readonly<Record<string, number>>;
}

/** What a validation is measured against. */
export interface ManagerLimits {
  /** Evidence missing before training; undefined: this is the validation before. */
  readonly missingBefore: number | undefined;
  /** Evidence missing above which the run goes back to its best weights; absent: never. */
  readonly rollBackMissing?: number | undefined;
}

/**
 * The score is the answers' mean plus the share of evidence kept, since a weak reader alone hardly notices a lost fact.
 * Healthy: no bank is empty, and no more of the evidence is gone from them than before training.
 */
export function judgeManager(
  { answerScore, missing = 0, emptyBanks, metrics }: PlayedValidation,
  { missingBefore, rollBackMissing }: ManagerLimits,
): Validation {
  const score = (answerScore ?? 0) + (1 - missing);
  const reason =
    answerScore === undefined
      ? "no validation question could be graded"
      : emptyBanks > 0
        ? "the bank stayed empty"
        : missingBefore !== undefined && missing > missingBefore
          ? "more evidence is missing than before training"
          : undefined;
  const rollBack =
    rollBackMissing !== undefined && missing > rollBackMissing
      ? `${missing.toFixed(3)} of the evidence is missing, above the limit of ${rollBackMissing}`
      : undefined;
  return {
    score,
    healthy: reason === undefined,
    ...(reason === undefined ? {} : { reason }),
    ...(rollBack === undefined ? {} : { rollBack }),
    metrics,
  };
}
