import type { Retriever } from "@memory-r1/core";
import type { EmbeddingModel, TextGenerator } from "@memory-r1/spec";

/** What the comparison hands every system, so that all of them read, retrieve and answer with the same means. */
export interface SystemOptions {
  readonly retriever: Retriever;
  /** Most context items for a question. */
  readonly count: number;
  /** The chat model of the comparison. Ask it through `askModel`: greedily, one request at a time. */
  readonly generator: TextGenerator;
  /** For systems whose description needs similarities and not only an order. */
  readonly embedding: EmbeddingModel;
  /** Tokens of a text by the chat model's tokenizer. */
  readonly countTokens: (text: string) => number;
  /** Most tokens of a prompt and its reply together. */
  readonly contextTokens: number;
  /** Most tokens of one reply. */
  readonly replyTokens: number;
  /** Whether replies are held to the form that the system asks for, where the endpoint can do that. */
  readonly constrained: boolean;
  readonly seed: number;
}
