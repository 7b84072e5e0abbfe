import type { Outcome, Random } from "@memory-r1/spec";
import { subtractOutcomes } from "./paired-outcomes.ts";
import { type BootstrapOptions, bootstrapInterval, type Interval } from "./resample.ts";
import { computeSum, gradedScores } from "./summarise-outcomes.ts";

/** An estimate with its percentile interval. */
export interface BootstrapEstimate extends Interval {
  readonly mean: number;
  /** How many values (questions) it rests on. */
  readonly count: number;
}

/**
 * Percentile bootstrap interval of one mean over questions. Ungraded outcomes are left out; undefined where nothing was
 * graded. Questions are resampled as if independent, so questions of one conversation make the interval somewhat too
 * narrow: see clusterBootstrap.
 * @throws HarnessError where an option is out of range.
 */
export function bootstrapMean(
  outcomes: readonly Outcome[],
  random: Random,
  options: BootstrapOptions = {},
): BootstrapEstimate | undefined {
  const scores = gradedScores(outcomes);
  const units = Array.from(scores, (score) => ({ sum: score, weight: 1 }));
  const interval = bootstrapInterval(units, random, options);
  return (
    interval && { ...interval, mean: computeSum(scores) / scores.length, count: scores.length }
  );
}

/** `mean`, `low` and `high` are of (first - second). */
export interface PairedBootstrapEstimate extends BootstrapEstimate {
  /** Pairs in which a side was ungraded. */
  readonly leftOut: number;
}

/**
 * Percentile bootstrap interval of the difference (first - second) of two systems over the same questions: whole
 * questions are resampled, so what makes a question hard for both cancels out. Position i of both lists is the same
 * question. Pairs with an ungraded side are left out and counted; undefined where no pair is left.
 * @throws HarnessError where the lists differ in length or an option is out of range.
 */
export function pairedBootstrap(
  first: readonly Outcome[],
  second: readonly Outcome[],
  random: Random,
  options: BootstrapOptions = {},
): PairedBootstrapEstimate | undefined {
  const differences = subtractOutcomes(first, second);
  const estimate = bootstrapMean(differences, random, options);
  return estimate && { ...estimate, leftOut: differences.length - estimate.count };
}
