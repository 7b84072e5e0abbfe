import {
  ConfigError,
  DataFormatError,
  type JournalRecord,
  type MemoryEntry,
  MemoryOperationError,
  parseValue,
  VersionConflictError,
} from "@memory-r1/spec";
import { z } from "zod";
import { imagesSchema, journalRecordShape } from "../bank/journal.ts";
import type { MemoryBank } from "../bank/memory-bank.ts";
import type { OperationBatch, StoredRecord, TimedOperation } from "./memory-store.ts";

/** What every adapter checks and does in the same way. */

/** Wall time of one length, so that its order is that of its text. */
export const wallTimeSchema = z.iso.datetime({ precision: 3, offset: false });

const timedOperationSchema: z.ZodType<TimedOperation> = z.strictObject({
  operation: journalRecordShape.operation,
  source: journalRecordShape.source,
  at: wallTimeSchema,
});

export const storedRecordSchema: z.ZodType<StoredRecord> = z.strictObject({
  ...journalRecordShape,
  at: wallTimeSchema,
  before: z.string().exactOptional(),
});

export const memoryEntrySchema: z.ZodType<MemoryEntry> = z.strictObject({
  id: z.string(),
  text: z.string(),
  participant: z.string(),
  sourceTurnIds: z.array(z.string()),
  createdAt: z.string(),
  updatedAt: z.string(),
  history: z.array(z.string()),
  images: imagesSchema.exactOptional(),
});

// pgvector's limit; every store refuses what one of them would.
const maxDimension = 16_000;
const maxBankIdLength = 512;

/** @throws ConfigError where a database could not keep this id as it is. */
export function requireBankId(bankId: string): void {
  if (
    bankId !== "" &&
    bankId.length <= maxBankIdLength &&
    // Half a surrogate pair would come back as another character.
    Buffer.from(bankId).toString() === bankId &&
    !bankId.includes("\0")
  ) {
    return;
  }
  throw new ConfigError(
    `The bank id ${JSON.stringify(bankId.slice(0, 80))} cannot be used. Give 1 to ${maxBankIdLength} characters of well-formed text without U+0000.`,
  );
}

/** @throws MemoryOperationError for a vector that has no direction or that a store cannot keep. */
export function requireVector(vector: Float32Array, name: string): void {
  const problem =
    vector.length === 0 || vector.length > maxDimension
      ? `has ${vector.length} numbers`
      : !vector.every(Number.isFinite)
        ? "holds a number that is not finite"
        : vector.every((value) => value === 0)
          ? "holds only zeros"
          : undefined;
  if (problem === undefined) return;
  throw new MemoryOperationError(
    `The vector of ${name} ${problem}. Give 1 to ${maxDimension} finite numbers that are not all 0.`,
  );
}

/** Tells a bank whose vectors all have another length from one that has none. */
export function throwOtherDimension(bankId: string, stored: number, asked: number): never {
  throw new MemoryOperationError(
    `The vectors of bank "${bankId}" have ${stored} numbers, the query has ${asked}. Embed the query with the model that embedded the memories, or set their vectors anew.`,
  );
}

/**
 * Checks a batch on its own, before a database is asked. What it gives has one order of keys, so that every adapter
 * keeps the same bytes.
 */
export function requireBatch(batch: OperationBatch): OperationBatch {
  const operations = batch.operations.map(({ operation, source, at }, position) => {
    try {
      return parseValue({ operation, source, at }, timedOperationSchema, `operation ${position}`);
    } catch (error) {
      if (!(error instanceof DataFormatError)) throw error;
      throw new MemoryOperationError(
        `${error.message} (Times are written as new Date().toISOString() does.)`,
      );
    }
  });
  for (const [id, vector] of batch.vectors ?? []) requireVector(vector, `memory ${id}`);
  return { ...batch, operations };
}

/**
 * Applies a batch to a bank that holds at least the entries which the batch names. The bank is the caller's to drop
 * when this throws.
 */
export function applyBatch(
  bank: MemoryBank,
  bankId: string,
  version: number,
  batch: OperationBatch,
): readonly StoredRecord[] {
  if (version !== batch.expectedVersion) {
    throw new VersionConflictError(bankId, batch.expectedVersion, version);
  }
  const records = batch.operations.map((timed) => applyTimed(bank, timed));
  for (const id of batch.vectors?.keys() ?? []) {
    if (bank.get(id) !== undefined) continue;
    throw new MemoryOperationError(
      `There is a vector for memory "${id}", which is not in bank "${bankId}" after the operations. Give vectors for entries of the bank.`,
    );
  }
  return records;
}

export function applyTimed(
  bank: MemoryBank,
  { operation, source, at }: TimedOperation,
): StoredRecord {
  const before =
    operation.kind === "UPDATE" || operation.kind === "DELETE"
      ? bank.get(operation.id)?.text
      : undefined;
  const record = bank.apply(operation, source);
  return { ...record, at, ...(before === undefined ? {} : { before }) };
}

/** Ids whose entry, and so whose vector, changed. */
export function changedIds(records: readonly JournalRecord[]): ReadonlySet<string> {
  return new Set(
    records.flatMap(({ operation, createdId }) => {
      switch (operation.kind) {
        case "ADD":
          return createdId === undefined ? [] : [createdId];
        case "UPDATE":
        case "DELETE":
          return [operation.id];
        case "NOOP":
          return [];
      }
    }),
  );
}
