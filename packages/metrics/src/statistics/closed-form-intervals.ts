import { HarnessError, type Outcome } from "@memory-r1/spec";
import type { Interval } from "./resample.ts";
import { computeSum, gradedScores } from "./summarise-outcomes.ts";

/** The 97.5 % quantile of the standard normal distribution. */
const normalQuantile = 1.959963984540054;

/**
 * Wilson's 95 % score interval of a proportion (Wilson 1927): inside [0, 1], and of a sensible width where all or none
 * succeed, where a bootstrap has none. Undefined for no trials.
 * @throws HarnessError where the counts are no counts.
 */
export function computeWilsonInterval(successes: number, trials: number): Interval | undefined {
  const areCounts = Number.isInteger(successes) && Number.isInteger(trials);
  if (!areCounts || successes < 0 || successes > trials) {
    throw new HarnessError(
      "not_a_proportion",
      `Wilson interval: ${successes} successes of ${trials} trials; give whole numbers, 0 to the number of trials`,
    );
  }
  if (trials === 0) return undefined;
  const squared = normalQuantile ** 2;
  const share = successes / trials;
  const centre = share + squared / (2 * trials);
  const reach =
    normalQuantile * Math.sqrt((share * (1 - share)) / trials + squared / (4 * trials ** 2));
  const scale = 1 + squared / trials;
  return {
    low: successes === 0 ? 0 : (centre - reach) / scale,
    high: successes === trials ? 1 : (centre + reach) / scale,
  };
}

/**
 * Wilson's interval of graded outcomes that are each 0 or 1, such as an exact match or a judge's verdict; undefined
 * where a score is anything else, and where nothing was graded. It asks the scores, not the metric: an F1 whose scores
 * here are all 0 or 1 gets one too, and needs it, for a bootstrap of equal scores has no width.
 */
export function wilsonOfOutcomes(outcomes: readonly Outcome[]): Interval | undefined {
  const scores = gradedScores(outcomes);
  if (scores.some((score) => score !== 0 && score !== 1)) return undefined;
  return computeWilsonInterval(computeSum(scores), scores.length);
}

/** Moments of a sample. */
export interface SampleMoments {
  readonly count: number;
  readonly mean: number;
  /** Divided by count - 1. */
  readonly standardDeviation: number;
}

/**
 * The normal 95 % interval of a mean, for samples too large to resample. Undefined for fewer than 2 values.
 */
export function computeNormalInterval(moments: SampleMoments): Interval | undefined {
  if (moments.count < 2) return undefined;
  const reach = (normalQuantile * moments.standardDeviation) / Math.sqrt(moments.count);
  return { low: moments.mean - reach, high: moments.mean + reach };
}
