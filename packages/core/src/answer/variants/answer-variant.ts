import type { ChatMessage } from "@memory-r1/spec";

/** A memory as an Answer Agent sees it. */
export interface AnswerMemory {
  readonly text: string;
  /** The date text of the session that it stems from. */
  readonly date: string;
  /** Whom it is about, where that is known. */
  readonly participant?: string;
}

/** What a reply says. The raw reply is kept with the reason it could not be read. */
export type ParsedAnswer =
  | {
      readonly status: "parsed";
      readonly answer: string;
      /** What the reply selected before it answered, as written; absent in a variant without selection. */
      readonly selected?: readonly string[];
    }
  | { readonly status: "unparsable"; readonly reason: string; readonly raw: string };

/** A way to put a question and read the answer. */
export interface AnswerVariant {
  /** Belongs to the variant: what a reply of this form needs. A longer one is cut. */
  readonly maxTokens: number;
  messages(input: {
    readonly question: string;
    readonly memories: readonly AnswerMemory[];
  }): readonly ChatMessage[];
  /** Reads the reply alone: nothing that the prompt says can count. Never throws on what a model wrote. */
  parse(text: string): ParsedAnswer;
}

/** One line per memory, or `(none)`. Line breaks inside a memory become spaces. */
export function memoryLines(
  memories: readonly AnswerMemory[],
  line: (memory: AnswerMemory, index: number) => string,
): string {
  if (memories.length === 0) return "(none)";
  return memories
    .map((memory, index) =>
      line(memory, index).replaceAll(/\s*[\r\n\v\f\u0085\u2028\u2029]+\s*/g, " "),
    )
    .join("\n");
}
