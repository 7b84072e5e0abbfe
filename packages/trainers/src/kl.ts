import { computeMean } from "./advantages.ts";

/** Estimators of KL(policy || reference) from one token, with d = log-probability of the policy - of the reference. */
export const klEstimators = ["k1", "k2", "k3", "abs"] as const;
export type KlEstimator = (typeof klEstimators)[number];

export interface KlOptions {
  /**
   * - `k1`: d. Unbiased, negative for half of the tokens.
   * - `k2`: d^2 / 2. As a loss its gradient is that of the divergence.
   * - `k3`: exp(-d) + d - 1. Unbiased and never negative.
   * - `abs`: |d|.
   */
  readonly estimator: KlEstimator;
  /** c > 0: k3's exponent is held in [-20, 20], then every estimate in [-c, c], as verl does with k3 and c 10. 0 is off (TRL). */
  readonly clamp: number;
}

export interface TokenKl {
  /** Nats. */
  readonly kl: number;
  /** d kl / d log-probability of the policy; 0 where the clamp holds. */
  readonly slope: number;
}

const plainK1: KlOptions = { estimator: "k1", clamp: 0 };
const exponentLimit = 20;

/**
 * The divergence of one token from the reference policy. Log-probabilities are natural.
 * Source: Schulman, http://joschu.net/blog/kl-approx.html; verl core_algos.py@b178a3cd5 `kl_penalty`; TRL
 * grpo_trainer.py@f2cd57710 (k3 without clamps).
 */
export function computeKl(
  logProb: number,
  referenceLogProb: number,
  { estimator, clamp }: KlOptions,
): TokenKl {
  const free = estimateKl(logProb - referenceLogProb, estimator, clamp > 0);
  if (clamp > 0 && Math.abs(free.kl) > clamp) return { kl: Math.sign(free.kl) * clamp, slope: 0 };
  return free;
}

function estimateKl(difference: number, estimator: KlEstimator, held: boolean): TokenKl {
  switch (estimator) {
    case "k1":
      return { kl: difference, slope: 1 };
    case "k2":
      return { kl: difference ** 2 / 2, slope: difference };
    case "k3": {
      const inside = !held || Math.abs(difference) <= exponentLimit;
      const exponent = inside ? -difference : -Math.sign(difference) * exponentLimit;
      const power = Math.exp(exponent);
      return { kl: power - exponent - 1, slope: inside ? 1 - power : 0 };
    }
    case "abs":
      return { kl: Math.abs(difference), slope: Math.sign(difference) };
  }
}

/**
 * The divergence of every token. Shapes: [sequences][tokens] twice -> [sequences][tokens], in nats. Times -coefficient
 * it is what a KL penalty adds to the rewards of tokens (verl's `use_kl_in_reward`, TRL's PPO).
 * @throws RangeError if the shapes differ.
 */
export function computeKls(
  logProbs: readonly (readonly number[])[],
  referenceLogProbs: readonly (readonly number[])[],
  options: KlOptions,
): readonly (readonly number[])[] {
  return logProbs.map((sequence, index) => {
    const reference = referenceLogProbs[index];
    if (reference?.length !== sequence.length)
      throw new RangeError(
        `sequence ${index} has ${sequence.length} sampled and ${reference?.length ?? 0} reference log-probabilities`,
      );
    return sequence.map(
      (logProb, token) => computeKl(logProb, reference[token] ?? Number.NaN, options).kl,
    );
  });
}

/**
 * What a KL penalty adds to the advantage of every token: coefficient * (mean over all tokens of kl - kl). Tokens that
 * drifted further from the reference than the average lose, the others gain; the sum over all tokens is 0.
 * Shapes: [sequences][tokens] twice -> [sequences][tokens].
 * Source: tinker-cookbook rl/metrics.py@9dfcc3a `incorporate_kl_penalty`, which has k1 alone.
 */
export function computeKlAdvantages(
  sampledLogProbs: readonly (readonly number[])[],
  referenceLogProbs: readonly (readonly number[])[],
  coefficient: number,
  options: KlOptions = plainK1,
): { readonly advantages: readonly (readonly number[])[]; readonly meanKl: number } {
  const kls = computeKls(sampledLogProbs, referenceLogProbs, options);
  const meanKl = computeMean(kls.flat());
  return {
    meanKl,
    advantages: kls.map((sequence) => sequence.map((kl) => coefficient * (meanKl - kl))),
  };
}

export interface AdaptiveKlOptions {
  /** The divergence to hold, in nats per token. */
  readonly target: number;
  /** Samples over which the coefficient moves by its own size at most. */
  readonly horizon: number;
}

/**
 * The coefficient of the next step: coefficient * (1 + clip(kl / target - 1, -0.2, 0.2) * samples / horizon), with `kl`
 * the mean over this step's sequences of their mean per token, and `samples` their number.
 * Source: arXiv 1909.08593 section 2.2; verl core_algos.py@b178a3cd5 `AdaptiveKLController`.
 */
export function adaptKlCoefficient(
  coefficient: number,
  kl: number,
  samples: number,
  { target, horizon }: AdaptiveKlOptions,
): number {
  const error = Math.min(Math.max(kl / target - 1, -0.2), 0.2);
  return coefficient * (1 + (error * samples) / horizon);
}
