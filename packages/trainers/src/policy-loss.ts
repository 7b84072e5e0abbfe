import { computeSum } from "./advantages.ts";

/**
 * The loss per token, with r = exp(log-probability now - at sampling) and advantage A:
 * `importance_sampling` is -r A, `ppo` is -min(r A, clip(r, 1 - clipLow, 1 + clipHigh) A).
 */
export type PolicyLoss =
  | { readonly kind: "importance_sampling" }
  | { readonly kind: "ppo"; readonly clipLow: number; readonly clipHigh: number };

/**
 * How token losses become one number. A sequence is one completion of one prompt, so a decision of an episode.
 * - `token-mean`: sum over all tokens / number of tokens (DAPO; verl's default).
 * - `sequence-mean-token-mean`: mean over sequences of the mean over their tokens (the GRPO paper).
 * - `sequence-mean-token-sum-norm`: mean over sequences of (sum over tokens / `length`), `length` a constant such as the
 *   largest completion (Dr. GRPO; verl leaves out the division by the number of sequences).
 */
export type LossAggregation =
  | { readonly kind: "token-mean" }
  | { readonly kind: "sequence-mean-token-mean" }
  | { readonly kind: "sequence-mean-token-sum-norm"; readonly length: number };

/**
 * What the advantages of each sequence are multiplied by, so that the engine's plain sum of token losses becomes the
 * aggregate: both losses are linear in a positive factor of the advantage.
 * `lengths` [B] are token counts of the sequences of one optimiser step; empty sequences count for nothing (verl), not as
 * a sequence of loss 0 (TRL). Returns [B].
 */
export function computeLossScales(
  lengths: readonly number[],
  aggregation: LossAggregation,
): readonly number[] {
  const sequenceCount = lengths.filter((length) => length > 0).length;
  const tokenCount = computeSum(lengths);
  return lengths.map((length) => {
    if (length === 0) return 0;
    switch (aggregation.kind) {
      case "token-mean":
        return 1 / tokenCount;
      case "sequence-mean-token-mean":
        return 1 / (sequenceCount * length);
      case "sequence-mean-token-sum-norm":
        return 1 / (sequenceCount * aggregation.length);
    }
  });
}

export interface TokenLoss {
  readonly loss: number;
  /** d loss / d log-probability now. */
  readonly slope: number;
  /** The clip holds the ratio back, so the slope is 0. */
  readonly clipped: boolean;
}

/** The loss of one token, as the engine computes it. Log-probabilities are natural. */
export function computeTokenLoss(
  logProb: number,
  sampledLogProb: number,
  advantage: number,
  loss: PolicyLoss,
): TokenLoss {
  const ratio = Math.exp(logProb - sampledLogProb);
  const unclipped = -ratio * advantage;
  if (loss.kind === "importance_sampling")
    return { loss: unclipped, slope: unclipped, clipped: false };
  const clippedRatio = Math.min(Math.max(ratio, 1 - loss.clipLow), 1 + loss.clipHigh);
  const bounded = -clippedRatio * advantage;
  return bounded > unclipped
    ? { loss: bounded, slope: 0, clipped: true }
    : { loss: unclipped, slope: unclipped, clipped: false };
}
