import { computeMean, computeSum } from "./advantages.ts";
import { computeKl, klEstimators, type KlOptions } from "./kl.ts";

/**
 * The policy term of a token's loss, with r = exp(log-probability now - at sampling) and advantage A. Ratios are held in
 * [1 - clipLow, 1 + clipHigh]; [.] is a number without a gradient.
 * - `importance_sampling`: -r A.
 * - `ppo`: -min(r A, clip(r) A). With `dualClip` c > 1, min(that, -c A) where A < 0 (arXiv 1912.09729 eq. 5; verl has c 3,
 *   TRL calls it delta); 0 or absent is off.
 * - `cispo`: -[clip(r)] A log-probability: every token keeps a gradient (arXiv 2506.13585 eq. 4; clipLow 1 leaves out the
 *   lower bound, as TRL does).
 * - `gspo`: ppo with r = exp(mean over the sequence's tokens of log-probability now - at sampling), in the form of
 *   GSPO-token (arXiv 2507.18071 eq. 14, 15): the gradient of a token is by its own log-probability.
 */
export type PolicyObjective =
  | { readonly kind: "importance_sampling" }
  | {
      readonly kind: "ppo";
      readonly clipLow: number;
      readonly clipHigh: number;
      readonly dualClip?: number | undefined;
    }
  | { readonly kind: "cispo" | "gspo"; readonly clipLow: number; readonly clipHigh: number };

/** What a loss adds to its policy term; absent or 0 is off, and costs nothing. */
export interface LossTerms {
  /** Divergence from the reference policy, times a coefficient. */
  readonly kl?: (KlOptions & { readonly coefficient: number }) | undefined;
  /** Subtracts the entropy at each position, in nats, times this. */
  readonly entropyCoefficient?: number | undefined;
  /** Log-ratios are held in [-c, c] before anything else: 20 in verl, off in TRL. */
  readonly logRatioClamp?: number | undefined;
}

/** The loss of a token: weight * (policy term + coefficient * kl - entropyCoefficient * entropy). */
export type PolicyLoss = PolicyObjective & LossTerms;

/** Whether a loss has parts that a sequence without advantage learns from, too. */
export function hasLossTerms(loss: PolicyLoss): boolean {
  return (loss.kl?.coefficient ?? 0) !== 0 || (loss.entropyCoefficient ?? 0) !== 0;
}

/**
 * How token losses become one number. A sequence is one completion of one prompt, so a decision of an episode.
 * - `token-mean`: sum over all tokens / number of tokens (DAPO; verl's default).
 * - `sequence-mean-token-mean`: mean over sequences of the mean over their tokens (the GRPO paper; TRL's `grpo`).
 * - `sequence-mean-token-sum`: mean over sequences of the sum over their tokens (verl).
 * - `sequence-mean-token-sum-norm`: mean over sequences of (sum over tokens / `length`), `length` a constant such as the
 *   largest completion (Dr. GRPO as in TRL).
 * - `token-sum-norm`: sum over all tokens / `length` (what verl calls seq-mean-token-sum-norm).
 */
export type LossAggregation =
  | {
      readonly kind: "token-mean" | "sequence-mean-token-mean" | "sequence-mean-token-sum";
    }
  | {
      readonly kind: "sequence-mean-token-sum-norm" | "token-sum-norm";
      readonly length: number;
    };

export interface LossScaleOptions {
  /**
   * The whole optimiser step's counts, where `lengths` are only a part of it: the parts' scales then add up to the
   * whole. verl's `batch_num_tokens` and `global_batch_size`, each divided by its `dp_size`.
   */
  readonly totals?: { readonly tokens: number; readonly sequences: number };
  /** Added to a sequence's length where its mean is taken: 1e-8 in verl, 0 (the default) in TRL. */
  readonly lengthEpsilon?: number;
  /** Whether an empty sequence counts for nothing (verl; the default) or as a sequence of loss 0 (TRL). */
  readonly emptySequences?: "dropped" | "counted";
}

/**
 * What the loss of every token of a sequence is multiplied by, so that the engine's plain sum becomes the aggregate. To
 * be put into `weights`, or into the advantages where the policy term is all there is: it is linear in them.
 * `lengths` [B] are token counts of the sequences of one optimiser step. Returns [B].
 */
export function computeLossScales(
  lengths: readonly number[],
  aggregation: LossAggregation,
  options: LossScaleOptions = {},
): readonly number[] {
  const { totals, lengthEpsilon = 0, emptySequences = "dropped" } = options;
  const counted = lengths.filter((length) => length > 0 || emptySequences === "counted");
  const sequenceCount = totals?.sequences ?? counted.length;
  const tokenCount = totals?.tokens ?? computeSum(lengths);
  return lengths.map((length) => {
    if (length === 0) return 0;
    switch (aggregation.kind) {
      case "token-mean":
        return 1 / tokenCount;
      case "sequence-mean-token-mean":
        return 1 / (sequenceCount * (length + lengthEpsilon));
      case "sequence-mean-token-sum":
        return 1 / sequenceCount;
      case "sequence-mean-token-sum-norm":
        return 1 / (sequenceCount * aggregation.length);
      case "token-sum-norm":
        return 1 / aggregation.length;
    }
  });
}

export interface TokenLoss {
  /** All terms together. */
  readonly loss: number;
  /** Weight times policy term. */
  readonly policy: number;
  /** Weight times divergence, before the coefficient; 0 without one. */
  readonly kl: number;
  /** d loss / d log-probability now. That of the entropy, which is no function of it, is left out. */
  readonly slope: number;
  /** The clip holds the ratio back: no gradient from the policy term, but for `cispo`, where it bounds it. */
  readonly clipped: boolean;
  /** The dual clip bounds the loss of a negative advantage: no gradient from the policy term. */
  readonly dualClipped: boolean;
}

/** One completion's loss inputs, [tokens] each. Log-probabilities are natural. */
export interface SequenceLossInputs {
  readonly logProbs: readonly number[];
  readonly sampledLogProbs: readonly number[];
  readonly advantages: readonly number[];
  /** Absent: 1. */
  readonly weights?: readonly number[] | undefined;
  /** Needed for a KL term. */
  readonly referenceLogProbs?: readonly number[] | undefined;
  /** Needed for an entropy term; nats. */
  readonly entropies?: readonly number[] | undefined;
}

/**
 * The losses of a completion's tokens, as the engine computes them. A value that a term needs and that is not there
 * makes NaN.
 */
export function computeTokenLosses(
  inputs: SequenceLossInputs,
  loss: PolicyLoss,
): readonly TokenLoss[] {
  const { logProbs, sampledLogProbs, advantages, weights, referenceLogProbs, entropies } = inputs;
  const limit = loss.logRatioClamp ?? 0;
  const logRatios = logProbs.map(
    (logProb, token) => logProb - (sampledLogProbs[token] ?? Number.NaN),
  );
  const sequenceLogRatio = computeMean(logRatios);
  return logProbs.map((logProb, token) => {
    const logRatio = loss.kind === "gspo" ? sequenceLogRatio : (logRatios[token] ?? Number.NaN);
    const held = limit > 0 && Math.abs(logRatio) > limit;
    const ratio = Math.exp(held ? Math.sign(logRatio) * limit : logRatio);
    const advantage = advantages[token] ?? Number.NaN;
    const policy = computePolicyTerm(ratio, advantage, logProb, loss);
    const weight = weights === undefined ? 1 : (weights[token] ?? Number.NaN);
    const entropyTerm =
      (loss.entropyCoefficient ?? 0) === 0
        ? 0
        : (loss.entropyCoefficient ?? 0) * (entropies?.[token] ?? Number.NaN);
    const kl =
      loss.kl === undefined || loss.kl.coefficient === 0
        ? { kl: 0, slope: 0, coefficient: 0 }
        : {
            ...computeKl(logProb, referenceLogProbs?.[token] ?? Number.NaN, loss.kl),
            coefficient: loss.kl.coefficient,
          };
    // The log-ratio's clamp ends the gradient through the ratio, which cispo's does not take.
    const policySlope = held && loss.kind !== "cispo" ? 0 : policy.slope;
    return {
      loss: weight * (policy.loss + kl.coefficient * kl.kl - entropyTerm),
      policy: weight * policy.loss,
      kl: weight * kl.kl,
      slope: weight * (policySlope + kl.coefficient * kl.slope),
      clipped: policy.clipped,
      dualClipped: policy.dualClipped,
    };
  });
}

/** The losses of one token without weight and terms, as `computeTokenLosses` gives them. */
export function computeTokenLoss(
  logProb: number,
  sampledLogProb: number,
  advantage: number,
  objective: PolicyObjective,
): Pick<TokenLoss, "loss" | "slope" | "clipped" | "dualClipped"> {
  return computePolicyTerm(Math.exp(logProb - sampledLogProb), advantage, logProb, objective);
}

/** `slope` is by the token's log-probability. */
function computePolicyTerm(
  ratio: number,
  advantage: number,
  logProb: number,
  objective: PolicyObjective,
): Pick<TokenLoss, "loss" | "slope" | "clipped" | "dualClipped"> {
  const free = -ratio * advantage;
  const unclipped = { loss: free, slope: free, clipped: false, dualClipped: false };
  if (objective.kind === "importance_sampling") return unclipped;
  const heldRatio = Math.min(Math.max(ratio, 1 - objective.clipLow), 1 + objective.clipHigh);
  const bounded = -heldRatio * advantage;
  if (objective.kind === "cispo")
    return {
      loss: bounded * logProb,
      slope: bounded,
      clipped: heldRatio !== ratio,
      dualClipped: false,
    };
  if (bounded > free) return { loss: bounded, slope: 0, clipped: true, dualClipped: false };
  const dualClip = objective.kind === "ppo" ? (objective.dualClip ?? 0) : 0;
  if (dualClip > 0 && advantage < 0 && free > -dualClip * advantage)
    return { loss: -dualClip * advantage, slope: 0, clipped: false, dualClipped: true };
  return unclipped;
}

/** The loss as an engine is asked for it: the protocol's name of the loss function and its settings. */
export function toWireLoss(loss: PolicyLoss): {
  readonly loss_fn: PolicyObjective["kind"];
  readonly loss_fn_config?: Record<string, number>;
} {
  const settings: Record<string, number> = {};
  if (loss.kind !== "importance_sampling") {
    settings.clip_low_threshold = 1 - loss.clipLow;
    settings.clip_high_threshold = 1 + loss.clipHigh;
  }
  if (loss.kind === "ppo" && (loss.dualClip ?? 0) > 0) settings.dual_clip = loss.dualClip ?? 0;
  if ((loss.logRatioClamp ?? 0) > 0) settings.log_ratio_clamp = loss.logRatioClamp ?? 0;
  if ((loss.entropyCoefficient ?? 0) !== 0)
    settings.entropy_coefficient = loss.entropyCoefficient ?? 0;
  if (loss.kl !== undefined && loss.kl.coefficient !== 0) {
    settings.kl_coefficient = loss.kl.coefficient;
    settings.kl_estimator = klEstimators.indexOf(loss.kl.estimator) + 1;
    settings.kl_clamp = loss.kl.clamp;
  }
  return {
    loss_fn: loss.kind,
    ...(Object.keys(settings).length === 0 ? {} : { loss_fn_config: settings }),
  };
}
