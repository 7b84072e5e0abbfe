import type { AdamParams, ChatMessage, TextGenerator } from "@memory-r1/spec";
import type { CriticSequence, Decision, ImitatedSequence, TrainingSequence } from "./datums.ts";
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
  /** Adds the gradient of the weighted cross-entropy of completions to what has accumulated. */
  imitate(sequences: readonly ImitatedSequence[]): Promise<BackwardResult>;
  /**
   * The tokens of a chat up to the assistant's turn, and of that turn with the token that ends it.
   * @throws ConfigError if the model's chat template does not write the turn after the prompt
   */
  encodeCompletion(
    messages: readonly ChatMessage[],
    completion: string,
  ): Pick<Decision, "promptTokens" | "completionTokens">;
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

/** What a critic's backward pass tells about the sequences that it ran, in their order. */
export interface CriticResult {
  /** Value of each completion token before the step, [sequences][tokens]. */
  readonly values: readonly (readonly number[])[];
}

/**
 * A learned critic: what it expects an episode to be worth, as seen before each completion token is chosen. Every method
 * rejects with EngineLostError when the engine is gone.
 */
export interface CriticEngine {
  /** [decisions][tokens], in units of the reward, without a gradient. */
  values(decisions: readonly Omit<Decision, "logProbs">[]): Promise<readonly (readonly number[])[]>;
  /** Adds the gradient of the summed value losses (`computeValueLoss`) to what has accumulated. */
  forwardBackward(sequences: readonly CriticSequence[], clip: number): Promise<CriticResult>;
  /** As PolicyEngine's. */
  optimStep(adam: AdamParams): Promise<{ readonly gradientNorm?: number }>;
  /** Writes weights and optimiser; the path is for `loadState`. */
  saveState(name: string): Promise<string>;
  /** Goes back to a saved state. To be called before anything else. */
  loadState(path: string): Promise<void>;
}
