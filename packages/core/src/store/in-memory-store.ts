import { StoreError } from "@memory-r1/spec";
import { List, Map as PersistentMap } from "immutable";
import { createMemoryBank, type MemoryBank } from "../bank/memory-bank.ts";
import { topByScore } from "../retrieval/top-by-score.ts";
import {
  applyBatch,
  changedIds,
  requireBankId,
  requireBatch,
  requireVector,
  throwOtherDimension,
} from "./batch.ts";
import type { MemoryStore, StoredRecord } from "./memory-store.ts";

interface KeptBank {
  readonly bank: MemoryBank;
  readonly records: List<StoredRecord>;
  readonly vectors: PersistentMap<string, Float32Array>;
  readonly nextId: number;
}

const emptyBank: KeptBank = {
  bank: createMemoryBank(),
  records: List(),
  vectors: PersistentMap(),
  nextId: 0,
};

/** A store that lives as long as the process: for tests, and for memory that nobody needs tomorrow. */
export function createInMemoryStore(): MemoryStore {
  const banks = new Map<string, KeptBank>();
  let isClosed = false;
  const requireOpen = (): void => {
    if (isClosed) throw new StoreError("The store is closed. Create a new one.");
  };
  const kept = (bankId: string): KeptBank => {
    requireOpen();
    requireBankId(bankId);
    return banks.get(bankId) ?? emptyBank;
  };
  return {
    name: "in-memory",
    banks: async () => {
      requireOpen();
      return [...banks].flatMap(([id, { records }]) => (records.size > 0 ? [id] : [])).toSorted();
    },
    read: async (bankId) => {
      const { bank, records, nextId } = kept(bankId);
      return { version: records.size, nextId, entries: bank.entries() };
    },
    append: async (bankId, batch) => {
      const old = kept(bankId);
      const checked = requireBatch(batch);
      const bank = old.bank.fork();
      const records = applyBatch(bank, bankId, old.records.size, checked);
      banks.set(bankId, {
        bank,
        records: old.records.concat(records),
        vectors: old.vectors
          .deleteAll(changedIds(records))
          .merge([...(checked.vectors ?? [])].map(([id, vector]) => [id, vector.slice()])),
        nextId: old.nextId + records.filter(({ createdId }) => createdId !== undefined).length,
      });
      return records;
    },
    journal: async function* (bankId, { from = 0, to } = {}) {
      yield* kept(bankId).records.slice(from, to);
    },
    vectors: async (bankId) => {
      const { bank, records, vectors } = kept(bankId);
      const inOrder = bank.entries().flatMap(({ id }): [string, Float32Array][] => {
        const vector = vectors.get(id);
        return vector === undefined ? [] : [[id, vector.slice()]];
      });
      return { version: records.size, vectors: new Map(inOrder) };
    },
    search: async (bankId, vector, count) => {
      const { bank, vectors } = kept(bankId);
      requireVector(vector, "the query");
      const found = bank.entries().flatMap((entry) => {
        const stored = vectors.get(entry.id);
        return stored?.length === vector.length
          ? [{ entry, similarity: cosine(stored, vector) }]
          : [];
      });
      const [other] = vectors.values();
      if (found.length === 0 && other !== undefined) {
        throwOtherDimension(bankId, other.length, vector.length);
      }
      return topByScore(found, ({ similarity }) => similarity, count);
    },
    remove: async (bankId) => {
      kept(bankId);
      banks.delete(bankId);
    },
    close: async () => {
      isClosed = true;
      banks.clear();
    },
  };
}

function cosine(left: Float32Array, right: Float32Array): number {
  let product = 0;
  let leftSquares = 0;
  let rightSquares = 0;
  for (const [index, value] of left.entries()) {
    const other = right[index] ?? 0;
    product += value * other;
    leftSquares += value * value;
    rightSquares += other * other;
  }
  return product / Math.sqrt(leftSquares * rightSquares);
}
