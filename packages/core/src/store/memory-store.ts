import type { JournalRecord, MemoryEntry, MemoryOperation, OperationSource } from "@memory-r1/spec";

/** One operation for a bank, and the wall time at which it was decided. */
export interface TimedOperation {
  readonly operation: MemoryOperation;
  readonly source: OperationSource;
  /** UTC with milliseconds, as `new Date().toISOString()` writes it: `2024-05-01T09:30:00.000Z`. */
  readonly at: string;
}

/** One applied operation as a store keeps it: who, when, from which turn, before and after. */
export interface StoredRecord extends JournalRecord {
  /** Wall time of the writer, as in TimedOperation; writers' clocks may disagree, the order is that of `index`. */
  readonly at: string;
  /** The text that an UPDATE replaced or a DELETE removed. What stands there afterwards is `operation.text`. */
  readonly before?: string;
}

/** A bank as it is at one version. */
export interface BankSnapshot {
  /** How many operations were applied so far, NOOPs included; 0 for a bank that nobody wrote to. */
  readonly version: number;
  /** The number that the next ADD makes into an id. */
  readonly nextId: number;
  /** In the order in which they were added. */
  readonly entries: readonly MemoryEntry[];
}

/** Vectors of one bank by the entries' ids. Any length above 0, all numbers finite, not all 0. */
export type EntryVectors = ReadonlyMap<string, Float32Array>;

export interface OperationBatch {
  /** The version of the bank that the operations were decided on. */
  readonly expectedVersion: number;
  readonly operations: readonly TimedOperation[];
  /**
   * Vectors to keep beside entries that are in the bank after the operations. An UPDATE drops its entry's old vector.
   * Without operations it sets vectors alone, and the version stays.
   */
  readonly vectors?: EntryVectors;
}

/** An entry found by its vector. `similarity` is the cosine, -1 to 1. */
export interface FoundEntry {
  readonly entry: MemoryEntry;
  readonly similarity: number;
}

/**
 * Memory banks by id, one for each conversation or user, that outlive a process. What an operation does is said by
 * MemoryBank; a store keeps it. A bank exists from its first operation on, and is read as empty before.
 * Every method throws StoreError where the database cannot be reached or is busy for too long, and ConfigError for a
 * bank id that is empty, longer than 512 characters or not well-formed text.
 */
export interface MemoryStore {
  /** The adapter's name: `in-memory`, `sqlite`, `postgres`. */
  readonly name: string;
  /** Ids of the banks that hold a journal, sorted by UTF-16 code units. */
  banks(): Promise<readonly string[]>;
  /** The bank at its newest version, all of one moment. */
  read(bankId: string): Promise<BankSnapshot>;
  /**
   * Applies a batch as a whole or not at all, in order, and gives the new records, the first with the index
   * `expectedVersion`.
   * @throws VersionConflictError where the bank is at another version: read it again and decide again (`changeBank`).
   * @throws MemoryOperationError where an operation or a vector is impossible; try operations on a MemoryBank first.
   */
  append(bankId: string, batch: OperationBatch): Promise<readonly StoredRecord[]>;
  /** The records with indexes `from` (default 0) up to `to` (exclusive, default all), oldest first. */
  journal(
    bankId: string,
    range?: { readonly from?: number; readonly to?: number },
  ): AsyncIterable<StoredRecord>;
  /** The vectors kept beside the bank's entries, in the entries' order, and the version at which they are so. */
  vectors(bankId: string): Promise<{ readonly version: number; readonly vectors: EntryVectors }>;
  /**
   * The `count` entries whose vectors are most similar to `vector`, best first, exact; equal similarities keep the
   * entries' order. Entries without a vector of this length are not found.
   * @throws MemoryOperationError where all of the bank's vectors have another length than `vector`.
   */
  search(bankId: string, vector: Float32Array, count: number): Promise<readonly FoundEntry[]>;
  /** Forgets a bank with its journal and vectors: nothing of its text stays in the store's tables. */
  remove(bankId: string): Promise<void>;
  /** Gives back files and connections. The store cannot be used afterwards; closing twice is no error. */
  close(): Promise<void>;
}
