import { computeMean } from "./advantages.ts";

/**
 * What a KL penalty adds to the advantage of every token: coefficient * (mean over all tokens of d - d), where
 * d = log-probability at sampling - of the reference policy (the k1 estimator). Tokens that drifted further from the
 * reference than the average lose, the others gain; the sum over all tokens is 0.
 * Shapes: [sequences][tokens] twice -> [sequences][tokens].
 * Source: tinker-cookbook rl/metrics.py@9dfcc3a `incorporate_kl_penalty`.
 */
export function computeKlAdvantages(
  sampledLogProbs: readonly (readonly number[])[],
  referenceLogProbs: readonly (readonly number[])[],
  coefficient: number,
): { readonly advantages: readonly (readonly number[])[]; readonly meanKl: number } {
  const differences = sampledLogProbs.map((sequence, index) => {
    const reference = referenceLogProbs[index];
    if (reference?.length !== sequence.length)
      throw new RangeError(
        `sequence ${index} has ${sequence.length} sampled and ${reference?.length ?? 0} reference log-probabilities`,
      );
    return sequence.map((logProb, token) => logProb - (reference[token] ?? Number.NaN));
  });
  const meanKl = computeMean(differences.flat());
  return {
    meanKl,
    advantages: differences.map((sequence) =>
      sequence.map((difference) => coefficient * (meanKl - difference)),
    ),
  };
}
