import type { AdamParams, TextGenerator } from "@memory-r1/spec";
import type { Decision, TrainingSequence } from "./datums.ts";
import type { PolicyLoss } from "./policy-loss.ts";

/** What a backward pass tells about the sequences that it ran, in their order. */
export interface BackwardResult {
  /** Log-probability of each completion token before the step, [sequences][tokens]. */
  readonly logProbs: readonly (readonly number[])[];
  /** Entropy in nats at each completion position, where the engine gives it. */
  readonly entropies?: readonly (readonly number[])[];
  /** Token positions that went through the model, and those without sharing of prompts; where the engine counts them. */
  readonly tokensComputed?: number;
  readonly tokensUnpacked?: number;
}

/**
 * All that a training loop needs of an engine. `generate` samples from the weights of the last `refreshSampler`, at the
 * request's temperature, and its completions carry `tokens` and `logProbs`; it is a plain TextGenerator, so that
 * validation can play episodes with the policy as it is.
 * Every method rejects with EngineLostError when the engine is gone.
 */
export interface PolicyEngine extends TextGenerator {
  /** Adds the gradient of the summed token losses to what has accumulated. */
  forwardBackward(
    sequences: readonly TrainingSequence[],
    loss: PolicyLoss,
  ): Promise<BackwardResult>;
  /** One Adam step with the accumulated gradient, which it clears. The norm is that before clipping, where known. */
  optimStep(adam: AdamParams): Promise<{ readonly gradientNorm?: number }>;
  /** From here on `generate` uses the weights as they are now. */
  refreshSampler(): Promise<void>;
  /** Log-probabilities of the completion tokens under the frozen reference policy, [decisions][tokens]. */
  referenceLogProbs(decisions: readonly Decision[]): Promise<readonly (readonly number[])[]>;
  /** Writes weights and optimiser; the path is for `loadState`. */
  saveState(name: string): Promise<string>;
  /** Goes back to a saved state. To be called before anything else. */
  loadState(path: string): Promise<void>;
  /** Goes on from the weights that `saveSamplerWeights` kept, with a fresh optimiser, at any time. `generate` is to be refreshed. */
  loadSamplerWeights(path: string): Promise<void>;
  /** Keeps the weights of now for sampling sessions; returns the path that opens one. */
  saveSamplerWeights(name: string): Promise<string>;
}
