import { computeSum } from "./summarise-outcomes.ts";

/** Several runs that differ in their seed alone. */
export interface SeedSummary {
  /** Mean over seeds; undefined where no seed has a mean. */
  readonly mean: number | undefined;
  /** Sample standard deviation over seeds (divided by n - 1); undefined for fewer than two. */
  readonly standardDeviation: number | undefined;
  /** How many seeds have a mean. */
  readonly count: number;
}

/** Mean and sample standard deviation of one mean per seed. Seeds without a mean (nothing was graded) are left out. */
export function summariseSeeds(seedMeans: readonly (number | undefined)[]): SeedSummary {
  const means = seedMeans.filter((mean) => mean !== undefined);
  const count = means.length;
  if (count === 0) return { mean: undefined, standardDeviation: undefined, count };
  const mean = computeSum(means) / count;
  if (count === 1) return { mean, standardDeviation: undefined, count };
  const squares = computeSum(means.map((value) => (value - mean) ** 2));
  return { mean, standardDeviation: Math.sqrt(squares / (count - 1)), count };
}
