import { type JournalRecord, VersionConflictError } from "@memory-r1/spec";
import { replayJournal } from "../../bank/journal.ts";
import type { MemoryStore, StoredRecord } from "../../store/memory-store.ts";

/** What of a store createMemoryR1 uses, kept as journals. `beforeAppend` runs first, where another writer would. */
export function createJournalStore(
  options: { readonly beforeAppend?: () => Promise<void> } = {},
): MemoryStore {
  const journals = new Map<string, StoredRecord[]>();
  const unused = (): Promise<never> => Promise.reject(new Error("not part of this store"));
  return {
    name: "journals",
    banks: () => Promise.resolve([...journals.keys()].toSorted()),
    append: async (bankId, { expectedVersion, operations }) => {
      await options.beforeAppend?.();
      const journal = journals.get(bankId) ?? [];
      if (journal.length !== expectedVersion)
        throw new VersionConflictError(bankId, expectedVersion, journal.length);
      const bank = replayJournal(journal);
      const records = operations.map(({ operation, source, at }): StoredRecord => {
        const record: JournalRecord = bank.apply(operation, source);
        return { ...record, at };
      });
      journals.set(bankId, [...journal, ...records]);
      return records;
    },
    async *journal(bankId, { from = 0, to } = {}) {
      await Promise.resolve();
      yield* (journals.get(bankId) ?? []).slice(from, to);
    },
    read: unused,
    vectors: unused,
    search: unused,
    remove: unused,
    close: () => Promise.resolve(),
  };
}
