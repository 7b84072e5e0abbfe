import type { ChatMessage, Constraint, MemoryEntry, MemoryOperation } from "@memory-r1/spec";

/** A new fact as a Manager sees it. */
export interface FactToDecide {
  readonly text: string;
  readonly participant: string;
}

/** What a reply asks for. An unparsable one is an outcome to count, with the reason in words. */
export type ParsedOperations =
  | {
      readonly status: "parsed";
      readonly operations: readonly MemoryOperation[];
      /** The reply was no valid JSON and could be mended without a guess at what was meant; to be counted. */
      readonly repaired?: true;
    }
  | { readonly status: "unparsable"; readonly reason: string };

/**
 * How operations are asked for and written. A prompt shows memories under small integers (their positions, from the
 * format's own first number), never under bank ids: ids grow over a conversation, and models copy small numbers best.
 */
export interface ManagerFormat {
  /** Enough for the longest sensible reply; a longer one is cut. */
  readonly maxTokens: number;
  messages(input: {
    readonly shown: readonly MemoryEntry[];
    readonly fact: FactToDecide;
    readonly date: string;
  }): readonly ChatMessage[];
  /** A grammar of the replies that `parse` reads, given how many memories are shown. */
  constraint(shownCount: number): Constraint;
  /** Operations on bank ids. Never throws on what a model wrote. */
  parse(text: string, shown: readonly MemoryEntry[]): ParsedOperations;
}

/** Characters of one memory text under a grammar: a merge of two facts fits, a runaway reply does not. */
export const maxMemoryCharacters = 240;

/** More operations than this for one fact are a runaway reply: it is unparsable as a whole, and nothing is applied. */
export const maxOperationsPerReply = 32;

/** A line break inside a memory or a fact would read as the next line of the prompt. */
export function oneLine(text: string): string {
  return text.replaceAll(/\s*[\r\n\v\f\u0085\u2028\u2029]+\s*/g, " ").trim();
}

export function unparsable(reason: string): ParsedOperations {
  return { status: "unparsable", reason };
}
