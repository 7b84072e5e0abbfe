import {
  type JournalRecord,
  type MemoryEntry,
  type MemoryImage,
  type MemoryOperation,
  MemoryOperationError,
  type OperationSource,
} from "@memory-r1/spec";
import { List, OrderedMap } from "immutable";

/** The external memory of one conversation: entries, and the journal of the operations that made them. */
export interface MemoryBank {
  /** In the order in which the entries were added; an UPDATE keeps its entry's place. */
  entries(): readonly MemoryEntry[];
  get(id: string): MemoryEntry | undefined;
  size(): number;
  /** Every operation applied so far, NOOPs included, oldest first; of a restored bank, those since it was restored. */
  journal(): readonly JournalRecord[];
  /**
   * Applies one operation as a whole and journals it. ADD makes the next id, UPDATE keeps the id and adds the source's
   * turns to the entry's, DELETE removes, NOOP changes nothing but the journal.
   * @throws MemoryOperationError for an id that is not in the bank or a text without a visible character; the bank is
   * then unchanged.
   */
  apply(operation: MemoryOperation, source: OperationSource): JournalRecord;
  /** A bank that goes its own way from here. Takes constant time: the two share what they have in common. */
  fork(): MemoryBank;
}

interface BankState {
  readonly entries: OrderedMap<string, MemoryEntry>;
  readonly journal: List<JournalRecord>;
  /** Operations before the first of `journal`; 0 but in a restored bank. */
  readonly earlierCount: number;
  /** Counts up through deletions, so that an id names one memory for ever. */
  readonly nextId: number;
}

/** An empty bank; its first entry gets the id "0". */
export function createMemoryBank(): MemoryBank {
  return restoreBank({ entries: [], version: 0, nextId: 0 });
}

/** A bank that goes on from `version` operations of which only the result is known. Ids and indexes go on, too. */
export function restoreBank(snapshot: {
  /** In the order in which they were added. */
  readonly entries: readonly MemoryEntry[];
  readonly version: number;
  /** The number of the next entry's id. */
  readonly nextId: number;
}): MemoryBank {
  return bankFrom({
    entries: OrderedMap(snapshot.entries.map((entry) => [entry.id, entry])),
    journal: List(),
    earlierCount: snapshot.version,
    nextId: snapshot.nextId,
  });
}

function bankFrom(initial: BankState): MemoryBank {
  let state = initial;
  return {
    entries: () => state.entries.valueSeq().toArray(),
    get: (id) => state.entries.get(id),
    size: () => state.entries.size,
    journal: () => state.journal.toArray(),
    apply: (operation, source) => {
      const { next, record } = applied(state, operation, source);
      state = next;
      return record;
    },
    fork: () => bankFrom(state),
  };
}

function applied(
  state: BankState,
  operation: MemoryOperation,
  source: OperationSource,
): { readonly next: BankState; readonly record: JournalRecord } {
  const record: JournalRecord = {
    index: state.earlierCount + state.journal.size,
    operation,
    source,
  };
  switch (operation.kind) {
    case "ADD": {
      requireText(operation.text, "ADD");
      const id = String(state.nextId);
      const created: JournalRecord = { ...record, createdId: id };
      const entry: MemoryEntry = {
        id,
        text: operation.text,
        participant: source.participant,
        sourceTurnIds: union([], source.sourceTurnIds),
        createdAt: source.date,
        updatedAt: source.date,
        history: [],
        ...unionImages([], source.images),
      };
      return {
        next: {
          ...state,
          entries: state.entries.set(id, entry),
          journal: state.journal.push(created),
          nextId: state.nextId + 1,
        },
        record: created,
      };
    }
    case "UPDATE": {
      const old = requireEntry(state, operation.id, "UPDATE");
      requireText(operation.text, `UPDATE of memory ${operation.id}`);
      const entry: MemoryEntry = {
        ...old,
        text: operation.text,
        sourceTurnIds: union(old.sourceTurnIds, source.sourceTurnIds),
        updatedAt: source.date,
        history: [...old.history, old.text],
        ...unionImages(old.images, source.images),
      };
      return {
        next: journalled({ ...state, entries: state.entries.set(old.id, entry) }, record),
        record,
      };
    }
    case "DELETE": {
      const old = requireEntry(state, operation.id, "DELETE");
      return {
        next: journalled({ ...state, entries: state.entries.delete(old.id) }, record),
        record,
      };
    }
    case "NOOP":
      return { next: journalled(state, record), record };
  }
}

function journalled(state: BankState, record: JournalRecord): BankState {
  return { ...state, journal: state.journal.push(record) };
}

function requireEntry(state: BankState, id: string, operation: string): MemoryEntry {
  const entry = state.entries.get(id);
  if (entry !== undefined) return entry;
  throw new MemoryOperationError(
    `${operation}: memory "${id}" is not in the bank. Use the id of a memory that the bank holds.`,
  );
}

function requireText(text: string, operation: string): void {
  if (text.trim() !== "") return;
  throw new MemoryOperationError(
    `${operation}: the text is empty. Give the memory's whole text, or use DELETE or NOOP.`,
  );
}

function union(first: readonly string[], second: readonly string[]): readonly string[] {
  return [...new Set([...first, ...second])];
}

/** The property `images` with every different picture once, or no property where there is none. */
function unionImages(
  first: readonly MemoryImage[] = [],
  second: readonly MemoryImage[] = [],
): Pick<MemoryEntry, "images"> {
  const images = new Map([...first, ...second].map((image) => [imageKey(image), image]));
  return images.size === 0 ? {} : { images: [...images.values()] };
}

function imageKey({ url, caption }: MemoryImage): string {
  return JSON.stringify([url ?? null, caption ?? null]);
}
