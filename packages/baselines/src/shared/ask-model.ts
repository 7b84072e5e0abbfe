import {
  type ChatMessage,
  type Constraint,
  deriveSeed,
  type GeneratedText,
  ModelCallError,
} from "@memory-r1/spec";
import type { SystemOptions } from "../system-options.ts";

/** One call of a system to the chat model. */
export interface ModelQuestion {
  readonly messages: readonly ChatMessage[];
  /** What the call is for, in the words of the error: `mem0, extraction of turn D1:3`. */
  readonly purpose: string;
  /** The form that the reply is held to where the comparison is `constrained`. */
  readonly constraint?: Constraint;
}

/**
 * The chat model's reply, sampled greedily.
 * @throws ModelCallError (retryable) where there is none: memory is never built on a reply that did not come
 */
export async function askModel(
  options: Pick<SystemOptions, "generator" | "replyTokens" | "constrained" | "seed">,
  { messages, purpose, constraint }: ModelQuestion,
): Promise<GeneratedText> {
  const [result] = await options.generator.generate([
    {
      messages,
      maxTokens: options.replyTokens,
      temperature: 0,
      seed: deriveSeed(options.seed, purpose),
      ...(options.constrained && constraint !== undefined ? { constraint } : {}),
    },
  ]);
  const reply = result?.status === "completed" ? result.completions[0] : undefined;
  if (reply !== undefined) return reply;
  const reason = result?.status === "failed" ? result.reason : "the generator gave no completion";
  throw new ModelCallError(`${purpose}: ${reason}. Resume the run when the model answers again.`, {
    retryable: true,
  });
}
