/** One side's words in a session. `id` is the data set's own (LoCoMo: `D3:11`). */
export interface Turn {
  readonly id: string;
  readonly speaker: string;
  readonly text: string;
  /** What a shared picture shows, where the data set has a caption for it. */
  readonly imageCaption?: string;
  /** Addresses of the pictures shared in this turn, where the data set has them. */
  readonly imageUrls?: readonly string[];
}

/** A fact that an extraction step drew from a turn; LoCoMo ships such facts as `observation`. */
export interface ExtractedFact {
  /** Unique inside its conversation; stable over runs. */
  readonly id: string;
  readonly text: string;
  /** The participant whom the fact is about. */
  readonly participant: string;
  /** Empty where the data set gives facts by session alone (Multi-Session Chat). */
  readonly sourceTurnIds: readonly string[];
}

/** Something in a participant's life by the date of a session, as an annotator listed it (LoCoMo's `event_summary`). */
export interface SessionEvent {
  readonly participant: string;
  readonly text: string;
}

/** A run of turns at one date. */
export interface Session {
  readonly id: string;
  /** The date as the data set writes it, which is what a prompt shows. */
  readonly dateText: string;
  /** Local date-time `YYYY-MM-DDTHH:MM`, no zone invented; absent where the text has none. */
  readonly dateTime?: string;
  readonly turns: readonly Turn[];
  /** Facts in the order in which their turns were said, where that is known; empty where the data set has none. */
  readonly facts: readonly ExtractedFact[];
  /** The data set's own summary of the session, where it has one. */
  readonly summary?: string;
  /** What an annotator listed beside the turns: gold of another task, never shown to a system. Absent: none. */
  readonly events?: readonly SessionEvent[];
}

export interface Conversation {
  readonly id: string;
  readonly participants: readonly string[];
  readonly sessions: readonly Session[];
}

/** A question's category: the data set's own code, and its name under every naming scheme in use. */
export interface QuestionCategory {
  readonly code: string;
  /** Naming scheme to name; LoCoMo: `official`, `mem0` and `memorybench`. Which schemes there are is the data set's. */
  readonly names: Readonly<Record<string, string>>;
  /** Its questions have a wrong premise (LoCoMo's 5): no part of what is trained on and scored with the rest. */
  readonly isAdversarial?: boolean;
  /** Its evidence tells of a fact that changed: the last evidence session holds, what the earlier ones told is stale. */
  readonly isUpdate?: boolean;
}

/** A published finding that a question, its gold answer or its evidence is wrong. */
export interface KnownIssue {
  /** The finding's kind in the words of its source, such as `TEMPORAL_ERROR`. */
  readonly kind: string;
  /** Whether a right answer is scored wrong because of it: what a ceiling is computed from. */
  readonly scoreCorrupting: boolean;
  /** Where the finding was published, with its revision. */
  readonly source: string;
}

export interface Question {
  /**
   * Unique in the data set; LoCoMo: `conv-26/qa-0` (position: texts repeat). LongMemEval's is the official one, which its
   * judge reads; no system may see it, because it ends in `_abs` where `answerable` is false.
   */
  readonly id: string;
  readonly conversationId: string;
  readonly text: string;
  /**
   * Absent where the data set gives none: such a question is ungraded, never wrong. Where `answerable` is false, it is an
   * explanation why, for a judge to compare with (LongMemEval), never an answer.
   */
  readonly gold?: string;
  readonly category: QuestionCategory;
  /** Well-formed ids only; see the loader's report for the rest. */
  readonly evidenceTurnIds: readonly string[];
  /** Where the data set gives evidence by session (LongMemEval); ids of sessions of the conversation. */
  readonly evidenceSessionIds?: readonly string[];
  readonly answerable: boolean;
  /** The date on which it is asked, as the data set writes it and as `YYYY-MM-DDTHH:MM`; shown to every system. */
  readonly dateText?: string;
  readonly dateTime?: string;
  /** What a system that falls for a wrong premise answers (LoCoMo's category 5). Never gold, never shown to a system. */
  readonly adversarialAnswer?: string;
  /** Published findings about this question; absent: none. */
  readonly knownIssues?: readonly KnownIssue[];
}

export const splitPartNames = ["train", "validation", "test"] as const;
export type SplitPartName = (typeof splitPartNames)[number];

/** Conversation ids of each part of a split. */
export type SplitDefinition = Readonly<Record<SplitPartName, readonly string[]>>;

export interface Dataset {
  readonly name: string;
  /** sha256 of the bytes that were parsed, in lower-case hex. */
  readonly sha256: string;
  readonly conversations: readonly Conversation[];
  readonly questions: readonly Question[];
  /** Splits by name, the usual one first; empty where the data set is for evaluation only. */
  readonly splits: Readonly<Record<string, SplitDefinition>>;
  /** What was found odd in the file, in words; nothing is dropped silently. */
  readonly notes: readonly string[];
}
