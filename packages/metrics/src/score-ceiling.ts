import type { Question } from "@memory-r1/spec";

/** Whether a published finding says that a right answer to this question is scored wrong. */
export function hasCorruptGold({ knownIssues = [] }: Pick<Question, "knownIssues">): boolean {
  return knownIssues.some((issue) => issue.scoreCorrupting);
}

/**
 * The best mean that a perfect system can be expected to get: the share of questions whose gold answer is not known to
 * be wrong, 0 to 1. It takes a right answer to a wrong gold as worth 0, so a graded metric can come out slightly above.
 * Undefined for no questions.
 */
export function computeScoreCeiling(areCorrupt: readonly boolean[]): number | undefined {
  if (areCorrupt.length === 0) return undefined;
  return areCorrupt.filter((isCorrupt) => !isCorrupt).length / areCorrupt.length;
}
