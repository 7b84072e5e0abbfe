export interface ChatMessage {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** A grammar that every sampled text obeys. The trainer applies the same mask, so ratios stay right. */
export interface Constraint {
  readonly type: "regex" | "json_schema" | "tools";
  /** The regular expression (Rust syntax, whole match), the JSON schema as JSON text, or `{tools, tool_choice?}` as JSON text. */
  readonly value: string;
}

export interface GenerateRequest {
  readonly messages: readonly ChatMessage[];
  readonly maxTokens: number;
  /** 0 is greedy. */
  readonly temperature: number;
  readonly seed: number;
  readonly constraint?: Constraint;
  /** How many completions of this prompt; default 1. */
  readonly count?: number;
}

/** One completion. `tokens` and `logProbs` are there where the generator can give them (the engine does). */
export interface GeneratedText {
  readonly text: string;
  readonly stopReason: "stop" | "length";
  /** Ids of the sampled tokens, the stop token included where one was sampled. */
  readonly tokens?: readonly number[];
  /** Natural-log probability of each of `tokens` under the distribution it was sampled from. */
  readonly logProbs?: readonly number[];
}

/** `attempts`: how often the call was tried, from 1, where the generator repeats calls that fail for the moment. */
export type GenerateResult =
  | {
      readonly status: "completed";
      readonly completions: readonly GeneratedText[];
      /** Token ids of the prompt, where tokens are known. */
      readonly promptTokens?: readonly number[];
      readonly attempts?: number;
    }
  | { readonly status: "failed"; readonly reason: string; readonly attempts?: number };

/** A language model behind any server. A failed call is a result, not an exception: it masks its sample. */
export interface TextGenerator {
  /** Model id and weights version, for manifests and caches. */
  readonly description: string;
  /** Answers in the order of the requests; the requests of one call may run as one batch. */
  generate(requests: readonly GenerateRequest[]): Promise<readonly GenerateResult[]>;
}
