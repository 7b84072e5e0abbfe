/** One side's words in a session. `id` is the data set's own (LoCoMo: `D3:11`). */
export interface Turn {
  readonly id: string;
  readonly speaker: string;
  readonly text: string;
  /** What a shared picture shows, where the data set has a caption for it. */
  readonly imageCaption?: string;
}

/** A fact that an extraction step drew from a turn; LoCoMo ships such facts as `observation`. */
export interface ExtractedFact {
  /** Unique inside its conversation; stable over runs. */
  readonly id: string;
  readonly text: string;
  /** The participant whom the fact is about. */
  readonly participant: string;
  readonly sourceTurnIds: readonly string[];
}

/** A run of turns at one date. */
export interface Session {
  readonly id: string;
  /** The date as the data set writes it, which is what a prompt shows. */
  readonly dateText: string;
  /** Local date-time `YYYY-MM-DDTHH:MM`, no zone invented; absent where the text has none. */
  readonly dateTime?: string;
  readonly turns: readonly Turn[];
  /** Facts in the order in which their turns were said; empty where the data set has none. */
  readonly facts: readonly ExtractedFact[];
}

export interface Conversation {
  readonly id: string;
  readonly participants: readonly string[];
  readonly sessions: readonly Session[];
}

/** A question's category: the data set's own code, and its name under every naming scheme in use. */
export interface QuestionCategory {
  readonly code: string;
  /** LoCoMo: keys `official` and `mem0`. */
  readonly names: Readonly<Record<string, string>>;
}

export interface Question {
  /** Unique in the data set; LoCoMo: `conv-26/qa-0` (position: texts repeat). */
  readonly id: string;
  readonly conversationId: string;
  readonly text: string;
  /** Absent where the data set gives none: such a question is ungraded, never wrong. */
  readonly gold?: string;
  readonly category: QuestionCategory;
  /** Well-formed ids only; see the loader's report for the rest. */
  readonly evidenceTurnIds: readonly string[];
  readonly answerable: boolean;
}

export interface Dataset {
  readonly name: string;
  /** sha256 of the bytes that were parsed, in lower-case hex. */
  readonly sha256: string;
  readonly conversations: readonly Conversation[];
  readonly questions: readonly Question[];
  /** What was found odd in the file, in words; nothing is dropped silently. */
  readonly notes: readonly string[];
}
