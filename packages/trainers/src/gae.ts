import { computeDeviation, computeSum } from "./advantages.ts";

export interface GaeOptions {
  /** Discount per token: what a reward one token later is worth now. 1 in verl and TRL. */
  readonly gamma: number;
  /** 0: one step, least variance; 1: the whole return, no bias. verl 1, TRL 0.95. */
  readonly lambda: number;
}

export interface GaeResult {
  /** Not whitened. */
  readonly advantages: readonly (readonly number[])[];
  /** Advantages + values: what the critic is to predict. */
  readonly returns: readonly (readonly number[])[];
}

/**
 * Generalised advantage estimation: d_t = r_t + gamma V_{t+1} - V_t, A_t = d_t + gamma lambda A_{t+1}, return_t = A_t + V_t,
 * with V and A 0 behind the last token.
 *
 * Shapes: `rewards` and `values` [sequences][tokens], both results the same. A sequence is what one reward chain runs
 * over, its tokens those that the policy chose: an episode of several completions is one sequence, its completions one
 * after the other, so that text between them is no time step (verl skips masked tokens in the same way).
 * Source: arXiv 1506.02438 eq. 16; verl core_algos.py@b178a3cd5 `compute_gae_advantage_return` (reward on the last
 * token), TRL ppo_trainer.py@f2cd57710 (reward one position behind it: give one more position).
 * @throws RangeError if the shapes differ.
 */
export function computeGae(
  rewards: readonly (readonly number[])[],
  values: readonly (readonly number[])[],
  { gamma, lambda }: GaeOptions,
): GaeResult {
  if (rewards.length !== values.length)
    throw new RangeError(`${rewards.length} sequences of rewards, ${values.length} of values`);
  const advantages = rewards.map((rewards_T, index) => {
    const values_T = values[index] ?? [];
    if (values_T.length !== rewards_T.length)
      throw new RangeError(
        `sequence ${index} has ${rewards_T.length} rewards and ${values_T.length} values`,
      );
    const advantages_T = rewards_T.map(() => 0);
    let nextValue = 0;
    let nextAdvantage = 0;
    for (let token = rewards_T.length - 1; token >= 0; token--) {
      const value = values_T[token] ?? Number.NaN;
      const difference = (rewards_T[token] ?? Number.NaN) + gamma * nextValue - value;
      nextAdvantage = difference + gamma * lambda * nextAdvantage;
      nextValue = value;
      advantages_T[token] = nextAdvantage;
    }
    return advantages_T;
  });
  return {
    advantages,
    returns: advantages.map((row, index) =>
      row.map((advantage, token) => advantage + (values[index]?.[token] ?? Number.NaN)),
    ),
  };
}

export interface WhitenOptions {
  /** Added to the variance, under the root. 1e-8 in verl and TRL. */
  readonly epsilon?: number;
  /** Added to the number of tokens where means are taken: 1e-8 in verl, 0 (the default) in TRL. */
  readonly divisorEpsilon?: number;
  /** Keep the mean and only scale, as TRL's `whiten_rewards` does. */
  readonly keepMean?: boolean;
}

/**
 * (x - mean) / sqrt(variance + epsilon), over all tokens of all sequences together, each token counting the same; the
 * variance by n - 1. Shape: [sequences][tokens] -> the same. Fewer than two tokens have no variance: they become 0 (their
 * mean with `keepMean`).
 * Source: verl torch_functional.py@b178a3cd5 `masked_whiten`, TRL ppo_trainer.py@f2cd57710.
 */
export function whiten(
  values: readonly (readonly number[])[],
  options: WhitenOptions = {},
): readonly (readonly number[])[] {
  const { epsilon = 1e-8, divisorEpsilon = 0, keepMean = false } = options;
  const all = values.flat();
  const count = all.length;
  const mean = count === 0 ? 0 : computeSum(all) / (count + divisorEpsilon);
  const shift = keepMean ? mean : 0;
  if (count < 2) return values.map((row) => row.map(() => shift));
  const squares = computeSum(all.map((value) => (value - mean) ** 2)) / (count + divisorEpsilon);
  const scale = 1 / Math.sqrt((squares * count) / (count - 1) + epsilon);
  return values.map((row) => row.map((value) => (value - mean) * scale + shift));
}

/**
 * How much of the returns' variance the values explain: 1 - var(returns - values) / (var(returns) + 1e-5), variances by
 * n - 1. 1 is a perfect critic, 0 one that predicts the mean, negative worse. Undefined for fewer than two tokens.
 * Shapes: [tokens] twice. Source: verl metric_utils.py@b178a3cd5 `critic/vf_explained_var`.
 */
export function computeExplainedVariance(
  returns: readonly number[],
  values: readonly number[],
): number | undefined {
  if (returns.length !== values.length)
    throw new RangeError(`${returns.length} returns, ${values.length} values`);
  if (returns.length < 2) return undefined;
  const errors = returns.map((one, index) => one - (values[index] ?? Number.NaN));
  return 1 - computeDeviation(errors, true) ** 2 / (computeDeviation(returns, true) ** 2 + 1e-5);
}
