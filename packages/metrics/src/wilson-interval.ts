import { HarnessError } from "@memory-r1/spec";

/** A share with its interval, from 0 to 1. */
export interface ProportionInterval {
  readonly low: number;
  readonly high: number;
}

/** The 97.5 % quantile of the standard normal distribution: two tails of 2.5 % leave 95 %. */
const z = 1.959963984540054;

/**
 * Wilson's 95 % interval of a share of yes-or-no outcomes (Wilson 1927, without continuity correction). Unlike the normal
 * approximation it stays inside 0 to 1 and has a width at 0 and at 1. Undefined where there were no trials.
 * @throws HarnessError where the counts are no whole numbers with 0 <= successes <= trials.
 */
export function computeWilsonInterval(
  successes: number,
  trials: number,
): ProportionInterval | undefined {
  if (
    !Number.isInteger(successes) ||
    !Number.isInteger(trials) ||
    successes < 0 ||
    successes > trials
  ) {
    throw new HarnessError(
      "wilson_counts",
      `Wilson interval: ${successes} successes of ${trials} trials; give whole numbers, successes between 0 and trials`,
    );
  }
  if (trials === 0) return undefined;
  const share = successes / trials;
  const square = (z * z) / trials;
  const centre = (share + square / 2) / (1 + square);
  const half = (z * Math.sqrt((share * (1 - share) + square / 4) / trials)) / (1 + square);
  return {
    low: successes === 0 ? 0 : Math.max(0, centre - half),
    high: successes === trials ? 1 : Math.min(1, centre + half),
  };
}
