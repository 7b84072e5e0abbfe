import { type EmbeddingModel, ModelCallError, VersionConflictError } from "@memory-r1/spec";
import { type MemoryBank, restoreBank } from "../bank/memory-bank.ts";
import { changedIds } from "./batch.ts";
import type { EntryVectors, MemoryStore, StoredRecord } from "./memory-store.ts";

export interface ChangeBankOptions {
  /** Wall time of the change, as in TimedOperation; called once for each try, after the change was decided. */
  readonly now: () => string;
  /** Where given, entries that changed get vectors, in the same batch. */
  readonly embeddingModel?: EmbeddingModel;
  /** How often the change is decided anew because someone else wrote in between. Default 10. */
  readonly retryCount?: number;
}

/** What `change` gave, and the records that it led to. */
export interface ChangedBank<Result> {
  readonly result: Result;
  readonly records: readonly StoredRecord[];
}

/**
 * Reads a bank, has `change` apply operations to a copy, and appends them as one batch. Where another writer was faster,
 * all of it happens again on the newer bank: `change` must do nothing that cannot be done twice.
 * @throws VersionConflictError after the last try; what `change` and the embedding model throw, nothing being stored.
 */
export async function changeBank<Result>(
  store: MemoryStore,
  bankId: string,
  change: (bank: MemoryBank) => Result | Promise<Result>,
  { now, embeddingModel, retryCount = 10 }: ChangeBankOptions,
): Promise<ChangedBank<Result>> {
  for (let retry = 0; ; retry++) {
    const snapshot = await store.read(bankId);
    const bank = restoreBank(snapshot);
    const result = await change(bank);
    const at = now();
    const vectors = await embedChanged(bank, embeddingModel);
    try {
      const records = await store.append(bankId, {
        expectedVersion: snapshot.version,
        operations: bank.journal().map(({ operation, source }) => ({ operation, source, at })),
        ...(vectors === undefined ? {} : { vectors }),
      });
      return { result, records };
    } catch (error) {
      if (!(error instanceof VersionConflictError) || retry >= retryCount) throw error;
    }
  }
}

async function embedChanged(
  bank: MemoryBank,
  model: EmbeddingModel | undefined,
): Promise<EntryVectors | undefined> {
  if (model === undefined) return undefined;
  const entries = [...changedIds(bank.journal())].flatMap((id) => bank.get(id) ?? []);
  if (entries.length === 0) return undefined;
  const vectors = await model.embed(entries.map(({ text }) => text));
  return new Map(
    entries.map(({ id }, index) => {
      const vector = vectors[index];
      if (vector !== undefined) return [id, vector];
      throw new ModelCallError(
        `${model.description} returned fewer vectors than texts. Check that the server is an embedding server.`,
        { retryable: false },
      );
    }),
  );
}
