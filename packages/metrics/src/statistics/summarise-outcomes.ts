import type { Outcome } from "@memory-r1/spec";

/** The mean of what was graded, with both counts. The mean of nothing is undefined, never 0. */
export interface OutcomeSummary {
  readonly mean: number | undefined;
  readonly graded: number;
  readonly ungraded: number;
}

/** Scores in the given order; ungraded outcomes are left out. */
export function gradedScores(outcomes: readonly Outcome[]): Float64Array {
  return Float64Array.from(
    outcomes.flatMap((outcome) => (outcome.status === "graded" ? [outcome.score] : [])),
  );
}

/** Sum from first to last, so that equal inputs give equal bits. */
export function computeSum(values: Iterable<number>): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}

/** Micro mean and counts of a list of outcomes: every graded outcome weighs the same. */
export function summariseOutcomes(outcomes: readonly Outcome[]): OutcomeSummary {
  const scores = gradedScores(outcomes);
  return {
    mean: scores.length === 0 ? undefined : computeSum(scores) / scores.length,
    graded: scores.length,
    ungraded: outcomes.length - scores.length,
  };
}
