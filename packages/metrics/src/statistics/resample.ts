import { HarnessError, type Random } from "@memory-r1/spec";

export interface BootstrapOptions {
  /** Default 10,000. */
  readonly resamples?: number;
  /** Probability that the interval covers; default 0.95. */
  readonly confidence?: number;
}

/** Both ends of an interval. */
export interface Interval {
  readonly low: number;
  readonly high: number;
}

/** What is drawn as a whole: a question, or a conversation with all its questions. */
export interface ResamplingUnit {
  /** What the unit adds to the sum of a resample. */
  readonly sum: number;
  /** What it adds to the number by which that sum is divided; above 0. */
  readonly weight: number;
}

/** Quantile of sorted values with linear interpolation between neighbours (NumPy's default). */
function interpolateQuantile(sorted: Float64Array, probability: number): number {
  const position = probability * (sorted.length - 1);
  const below = sorted[Math.floor(position)] ?? Number.NaN;
  const above = sorted[Math.ceil(position)] ?? Number.NaN;
  return below + (above - below) * (position - Math.floor(position));
}

/**
 * Percentile bootstrap interval (Efron 1979) of sum / weight over units that are drawn with replacement, as many as
 * there are. Draws `resamples` times the number of units from `random`.
 * @throws HarnessError where an option is out of range.
 */
export function bootstrapInterval(
  units: readonly ResamplingUnit[],
  random: Random,
  options: BootstrapOptions,
): Interval | undefined {
  const { resamples = 10_000, confidence = 0.95 } = options;
  if (!Number.isInteger(resamples) || resamples < 1 || !(confidence > 0 && confidence < 1)) {
    throw new HarnessError(
      "bootstrap_options",
      `bootstrap: resamples is ${resamples} and confidence ${confidence}; give a whole number of at least 1 and a probability between 0 and 1`,
    );
  }
  const count = units.length;
  if (count === 0) return undefined;
  const sums = Float64Array.from(units, ({ sum }) => sum);
  const weights = Float64Array.from(units, ({ weight }) => weight);
  const means = new Float64Array(resamples);
  for (let resample = 0; resample < resamples; resample++) {
    let sum = 0;
    let weight = 0;
    for (let draw = 0; draw < count; draw++) {
      const unit = Math.floor(random() * count);
      sum += sums[unit] ?? 0;
      weight += weights[unit] ?? 0;
    }
    means[resample] = sum / weight;
  }
  means.sort();
  const tail = (1 - confidence) / 2;
  return { low: interpolateQuantile(means, tail), high: interpolateQuantile(means, 1 - tail) };
}
