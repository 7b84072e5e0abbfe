/** How a group's rewards become advantages. Peers differ by 100 in `epsilon` (verl 1e-6, TRL 1e-4). */
export interface AdvantageOptions {
  /**
   * What a reward is compared with: its group's mean (the default), or the mean of the group's others, which is
   * n / (n - 1) as far away (RLOO, arXiv 2402.14740).
   */
  readonly baseline?: "group-mean" | "leave-one-out" | undefined;
  /** What the centred reward is divided by: its group's deviation, the batch's, or nothing (Dr. GRPO). */
  readonly scale: "group" | "batch" | "none";
  /** Added to the deviation. */
  readonly epsilon: number;
  /** Sample deviation (n - 1), as in verl and TRL, or population deviation (n). */
  readonly bessel: boolean;
}

/** One sample of a group: whether it takes part in training, and how much better than its group it was. */
export interface SampleAdvantage {
  /** Units: deviations, or reward with scale `none`. 0 where `scored` is false. */
  readonly advantage: number;
  readonly scored: boolean;
}

export interface GroupAdvantages {
  readonly samples: readonly SampleAdvantage[];
  /** No two scored rewards of the group differ: nothing to learn from it. Also true with no or one scored reward. */
  readonly zeroVariance: boolean;
}

/**
 * Group-relative advantages: (r - baseline) / (deviation + epsilon), the baseline the mean of its group or of the others.
 *
 * `rewards` is [groups][samples]; the result has the same shape. An `undefined` reward could not be scored: it is in no
 * mean and no deviation, and its advantage is 0 with `scored` false. Groups whose scored rewards are all equal, single
 * ones among them, give exact zeros (verl gives a single sample its raw reward; with no baseline that is noise).
 * Source: DeepSeekMath (arXiv 2402.03300) eq. 3, as in verl core_algos.py@b178a3cd5 and TRL grpo_trainer.py@f2cd57710.
 */
export function computeAdvantages(
  rewards: readonly (readonly (number | undefined)[])[],
  options: AdvantageOptions,
): readonly GroupAdvantages[] {
  const batchDeviation = computeDeviation(rewards.flat().filter(isScored), options.bessel);
  return rewards.map((group) => {
    const scored = group.filter(isScored);
    const first = scored[0];
    // Compared as they are: a mean of equal rewards can differ from them by a rounding error.
    const zeroVariance = scored.every((reward) => reward === first);
    const mean = computeMean(scored);
    const distance = options.baseline === "leave-one-out" ? scored.length / (scored.length - 1) : 1;
    const divisor =
      options.scale === "none"
        ? 1
        : options.epsilon +
          (options.scale === "batch" ? batchDeviation : computeDeviation(scored, options.bessel));
    return {
      zeroVariance,
      samples: group.map((reward) =>
        reward === undefined
          ? { advantage: 0, scored: false }
          : { advantage: zeroVariance ? 0 : (distance * (reward - mean)) / divisor, scored: true },
      ),
    };
  });
}

/** Arithmetic mean; 0 for no values, which callers tell apart by the count. */
export function computeMean(values: readonly number[]): number {
  return values.length === 0 ? 0 : computeSum(values) / values.length;
}

/** Left to right, so that equal inputs give equal bits. */
export function computeSum(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/** Standard deviation, by n - 1 with `bessel`; 0 for fewer than two values. */
export function computeDeviation(values: readonly number[], bessel: boolean): number {
  if (values.length < 2) return 0;
  const mean = computeMean(values);
  const squares = computeSum(values.map((value) => (value - mean) ** 2));
  return Math.sqrt(squares / (bessel ? values.length - 1 : values.length));
}

function isScored(reward: number | undefined): reward is number {
  return reward !== undefined;
}
