import type { Conversation, Session, Turn, ExtractedFact } from "./conversation.ts";

/** A question as a memory system sees it: never gold, category or evidence. */
export interface AskedQuestion {
  /** Not the data set's own where that one tells something: LongMemEval's ids say which questions have no answer. */
  readonly id: string;
  readonly text: string;
}

/** A conversation as a memory system sees it before the first turn. */
export type OpenedConversation = Pick<Conversation, "id" | "participants">;

/** A piece of context for the answer prompt, with the turns it stems from for recall metrics. */
export interface ContextItem {
  readonly text: string;
  readonly date: string;
  readonly sourceTurnIds: readonly string[];
}

/** What every system of a comparison implements. */
export interface MemorySystem {
  readonly name: string;
  open(conversation: OpenedConversation): Promise<MemorySession>;
}

export interface MemorySession {
  /** Takes one turn in order, with the facts that the extraction step drew from it. */
  ingest(
    turn: Turn,
    session: Pick<Session, "id" | "dateText">,
    facts: readonly ExtractedFact[],
  ): Promise<void>;
  /** Context for a question, best first. */
  context(question: AskedQuestion): Promise<readonly ContextItem[]>;
}
