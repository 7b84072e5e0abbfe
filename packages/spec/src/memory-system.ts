import type { Conversation, ExtractedFact, Question, Session, Turn } from "./conversation.ts";

/**
 * A question as a memory system sees it: never gold, category or evidence. Its id is not the data set's own, which may
 * tell something: LongMemEval's ids say which questions have no answer.
 */
export type AskedQuestion = Pick<Question, "id" | "text" | "dateText">;

/** A conversation as a memory system sees it before the first turn. */
export type OpenedConversation = Pick<Conversation, "id" | "participants">;

/** What a memory system is told of the session that a turn belongs to. */
export interface ToldSession extends Pick<Session, "id" | "dateText" | "dateTime"> {
  /**
   * There with the session's last turn and with no other: what waited for the end can be done now. `summary` is the data
   * set's own of the whole session, where it has one; told any earlier, it would tell what is yet to be said.
   */
  readonly ended?: Pick<Session, "summary">;
}

/** A piece of context for the answer prompt, with the turns it stems from for recall metrics. */
export interface ContextItem {
  readonly text: string;
  readonly date: string;
  readonly sourceTurnIds: readonly string[];
}

/** What a system did in a conversation while it was told its turns; questions add nothing. */
export interface SystemCounts {
  /** How often each operation was applied, under the names of the system's own description (`ADD`, `core_memory_append`). */
  readonly operations: Readonly<Record<string, number>>;
  /** Replies of the model that could not be read; each changed nothing. */
  readonly unparsable: number;
  /** Operations that could be read and not applied: an id that does not exist, an empty text. */
  readonly rejected: number;
}

/** What a question came to in a system that answers by itself: an answer, or words that hold none. */
export type SystemAnswer = {
  /**
   * Replies of the model on the way to it that could not be read, by the same rule as SystemCounts.unparsable, which
   * leaves them out: an agent may reach its answer all the same.
   */
  readonly unparsableReplies: number;
} & (
  | {
      readonly status: "answered";
      readonly answer: string;
      /** Every reply of the model, in order. */
      readonly replies: readonly string[];
      /** What of its memory the model was shown for this question. */
      readonly shown: readonly ContextItem[];
    }
  | {
      readonly status: "unparsable";
      /** Why there is no answer, in words. */
      readonly reason: string;
    }
);

/** What every system of a comparison implements. */
export interface MemorySystem {
  readonly name: string;
  open(conversation: OpenedConversation): Promise<MemorySession>;
}

/**
 * One conversation's memory. Calls come one after another, and the same calls with the same replies of the model give
 * the same memory: an interrupted conversation is resumed by playing it again with the replies that were kept.
 * Errors of `ingest`, `context` and `answer`: ModelCallError where a model gave no reply. The session is then lost.
 */
export interface MemorySession {
  /** Takes one turn in order, with the facts that the extraction step drew from it. */
  ingest(turn: Turn, session: ToldSession, facts: readonly ExtractedFact[]): Promise<void>;
  /** Context for a question, best first. Leaves the memory as it is. */
  context(question: AskedQuestion): Promise<readonly ContextItem[]>;
  /**
   * There where the order is part of the system and not of the comparison: the answer prompt then has the items as
   * `context` gives them. Without it, it has them in the order of the conversation, as the memories of a bank.
   */
  readonly showsBestFirst?: true;
  /** For a system that answers by itself; the others are given the comparison's Answer Agent. Leaves the memory as it is. */
  answer?(question: AskedQuestion): Promise<SystemAnswer>;
  /** All that is in memory now, for its size and for the evidence that it still holds. */
  stored(): Promise<readonly ContextItem[]>;
  counts(): SystemCounts;
  /** Gives back files, threads and connections; does nothing when it is called again. Absent where there are none. */
  close?(): Promise<void>;
}
