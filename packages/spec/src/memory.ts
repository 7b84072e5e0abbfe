/** A picture that a memory is about: its address, what it shows, or both. */
export interface MemoryImage {
  readonly url?: string;
  readonly caption?: string;
}

/** One memory of a bank. Dates are the sessions' date texts. */
export interface MemoryEntry {
  /** Small integer as text, unique in its bank and never used again after a DELETE. */
  readonly id: string;
  readonly text: string;
  readonly participant: string;
  /** Every turn whose content the entry claims to hold: kept through UPDATE merges. */
  readonly sourceTurnIds: readonly string[];
  readonly createdAt: string;
  readonly updatedAt: string;
  /** Earlier texts, oldest first. */
  readonly history: readonly string[];
  /** Every picture of the operations that made the entry, kept through UPDATE merges; absent: none. */
  readonly images?: readonly MemoryImage[];
}

/** What a Memory Manager can do with one new fact (paper, section 3; NOOP is the paper's NONE). */
export type MemoryOperation =
  | { readonly kind: "ADD"; readonly text: string }
  | { readonly kind: "UPDATE"; readonly id: string; readonly text: string }
  | { readonly kind: "DELETE"; readonly id: string }
  | { readonly kind: "NOOP" };

export const memoryOperationKinds = ["ADD", "UPDATE", "DELETE", "NOOP"] as const;
export type MemoryOperationKind = (typeof memoryOperationKinds)[number];

/** Where an operation came from: the fact that prompted it and who decided. */
export interface OperationSource {
  readonly actor: string;
  readonly participant: string;
  readonly sourceTurnIds: readonly string[];
  readonly date: string;
  /** Pictures that were shared in the source turns; absent: none. */
  readonly images?: readonly MemoryImage[];
}

/** One applied operation. Replaying a journal from an empty bank gives the same bank. */
export interface JournalRecord {
  /** 0-based position in the journal. */
  readonly index: number;
  readonly operation: MemoryOperation;
  readonly source: OperationSource;
  /** The id that an ADD made. */
  readonly createdId?: string;
}
