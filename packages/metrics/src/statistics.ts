import { HarnessError, type Outcome, type Random } from "@memory-r1/spec";

/** The mean of what was graded, with both counts. The mean of nothing is undefined, never 0. */
export interface OutcomeSummary {
  readonly mean: number | undefined;
  readonly graded: number;
  readonly ungraded: number;
}

/** Scores in the given order; ungraded outcomes are left out. */
function gradedScores(outcomes: readonly Outcome[]): Float64Array {
  return Float64Array.from(
    outcomes.flatMap((outcome) => (outcome.status === "graded" ? [outcome.score] : [])),
  );
}

/** Sum from first to last, so that equal inputs give equal bits. */
function computeMean(values: Float64Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

/** Mean and counts of a list of outcomes. */
export function summariseOutcomes(outcomes: readonly Outcome[]): OutcomeSummary {
  const scores = gradedScores(outcomes);
  return {
    mean: scores.length === 0 ? undefined : computeMean(scores),
    graded: scores.length,
    ungraded: outcomes.length - scores.length,
  };
}

export interface BootstrapOptions {
  /** Default 10,000. */
  readonly resamples?: number;
  /** Probability that the interval covers; default 0.95. */
  readonly confidence?: number;
}

/** An estimate with its percentile interval. */
export interface BootstrapEstimate {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
  /** How many values (questions) it rests on. */
  readonly count: number;
}

/** Quantile of sorted values with linear interpolation between neighbours (NumPy's default). */
function interpolateQuantile(sorted: Float64Array, probability: number): number {
  const position = probability * (sorted.length - 1);
  const below = sorted[Math.floor(position)] ?? Number.NaN;
  const above = sorted[Math.ceil(position)] ?? Number.NaN;
  return below + (above - below) * (position - Math.floor(position));
}

function bootstrap(
  values: Float64Array,
  random: Random,
  options: BootstrapOptions,
): BootstrapEstimate | undefined {
  const { resamples = 10_000, confidence = 0.95 } = options;
  if (!Number.isInteger(resamples) || resamples < 1 || !(confidence > 0 && confidence < 1)) {
    throw new HarnessError(
      "bootstrap_options",
      `bootstrap: resamples is ${resamples} and confidence ${confidence}; give a whole number of at least 1 and a probability between 0 and 1`,
    );
  }
  const count = values.length;
  if (count === 0) return undefined;
  const means = new Float64Array(resamples);
  for (let resample = 0; resample < resamples; resample++) {
    let sum = 0;
    for (let draw = 0; draw < count; draw++) sum += values[Math.floor(random() * count)] ?? 0;
    means[resample] = sum / count;
  }
  means.sort();
  const tail = (1 - confidence) / 2;
  return {
    mean: computeMean(values),
    low: interpolateQuantile(means, tail),
    high: interpolateQuantile(means, 1 - tail),
    count,
  };
}

/**
 * Percentile bootstrap interval of one mean over questions (Efron 1979). Ungraded outcomes are left out; undefined
 * where nothing was graded. Questions are resampled as if independent, so questions of one conversation make the
 * interval somewhat too narrow.
 * @throws HarnessError where an option is out of range.
 */
export function bootstrapMean(
  outcomes: readonly Outcome[],
  random: Random,
  options: BootstrapOptions = {},
): BootstrapEstimate | undefined {
  return bootstrap(gradedScores(outcomes), random, options);
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
  if (first.length !== second.length) {
    throw new HarnessError(
      "unpaired_outcomes",
      `pairedBootstrap: ${first.length} outcomes against ${second.length}; give both systems' outcomes of the same questions in the same order`,
    );
  }
  const differences: number[] = [];
  for (const [index, one] of first.entries()) {
    const other = second[index];
    if (one.status === "graded" && other?.status === "graded")
      differences.push(one.score - other.score);
  }
  const estimate = bootstrap(Float64Array.from(differences), random, options);
  return estimate && { ...estimate, leftOut: first.length - differences.length };
}
