import type { AskedQuestion, ChatMessage } from "@memory-r1/spec";
import type { AnswerMemory, ParsedAnswer } from "./variants/answer-variant.ts";
import { type AnswerVariantName, answerVariants } from "./variants/registry.ts";

export type { AnswerMemory, ParsedAnswer };

/** The Answer Agent as a policy: what is asked of the model, and what its reply means (paper, section 3.2). */
export interface AnswerAgent {
  /** The variant's name. */
  readonly name: string;
  readonly maxTokens: number;
  /** Memories are shown in the order given. */
  prompt(input: {
    readonly question: Pick<AskedQuestion, "text" | "dateText">;
    readonly memories: readonly AnswerMemory[];
  }): readonly ChatMessage[];
  /** Reads a reply. Never throws on what a model wrote. */
  parse(text: string): ParsedAnswer;
}

export function createAnswerAgent(options: { readonly variant: AnswerVariantName }): AnswerAgent {
  const variant = answerVariants[options.variant];
  return {
    name: options.variant,
    maxTokens: variant.maxTokens,
    prompt: ({ question, memories }) =>
      variant.messages({ question: questionLine(question), memories }),
    parse: (text) => variant.parse(text),
  };
}

/** "How long ago" needs the day on which it is asked, where the data set has one (LongMemEval). */
function questionLine({ text, dateText }: Pick<AskedQuestion, "text" | "dateText">): string {
  return dateText === undefined ? text : `${text} (asked on ${dateText})`;
}
