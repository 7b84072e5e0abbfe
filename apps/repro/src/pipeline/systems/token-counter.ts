import type { ChatTokenizer } from "@memory-r1/engine";
import type { GenerateRequest } from "@memory-r1/spec";

export interface ReplyTokens {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

/** Tokens of a request's prompt, and of texts that were replied. */
export type CountReplyTokens = (
  request: Pick<GenerateRequest, "messages">,
  texts: readonly string[],
) => ReplyTokens;

/** Counts by the chat model's tokenizer, whichever system asked. */
export function createTokenCounter(tokenizer: Pick<ChatTokenizer, "encode" | "encodeChat">): {
  readonly ofText: (text: string) => number;
  readonly ofReply: CountReplyTokens;
} {
  const ofText = (text: string): number => tokenizer.encode(text).length;
  return {
    ofText,
    ofReply: ({ messages }, texts) => ({
      promptTokens: tokenizer.encodeChat(messages).length,
      completionTokens: texts.reduce((sum, text) => sum + ofText(text), 0),
    }),
  };
}
