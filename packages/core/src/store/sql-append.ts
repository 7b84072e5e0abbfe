import { type MemoryEntry, VersionConflictError } from "@memory-r1/spec";
import { z } from "zod";
import { type MemoryBank, restoreBank } from "../bank/memory-bank.ts";
import { applyBatch, changedIds } from "./batch.ts";
import type { OperationBatch, StoredRecord } from "./memory-store.ts";
import { entryOf, rowsOf, type SqlDialect, type SqlQuery, type SqlTables } from "./sql-dialect.ts";

// Some databases take few values in one statement.
const rowsPerStatement = 200;

const bankRow = z.object({ version: z.int(), next_id: z.int() });
const entryRow = z.object({ entry: z.string() });

/** One bank inside of a transaction. */
interface BankTransaction {
  readonly query: SqlQuery;
  readonly dialect: SqlDialect;
  readonly tables: SqlTables;
  readonly bankId: string;
}

/** Where a bank stands: its version, and the number that the next new entry gets. */
interface BankState {
  readonly version: number;
  readonly nextId: number;
}

/**
 * Applies a batch that requireBatch has passed to a bank's rows and journals it. Reads and writes the entries that the
 * batch names and no others.
 * @throws VersionConflictError where the bank has another version than the batch expects
 */
export async function appendBatch(
  transaction: BankTransaction,
  batch: OperationBatch,
): Promise<readonly StoredRecord[]> {
  const { bankId } = transaction;
  const before = await lockBank(transaction, batch);
  const bank = restoreBank({
    ...before,
    entries: await readNamedEntries(transaction, batch, before),
  });
  const records = applyBatch(bank, bankId, before.version, batch);
  await deleteEntries(transaction, removedIds(records, bank, before));
  await writeEntries(transaction, writtenEntries(records, bank, batch), batch.vectors);
  await writeJournal(transaction, records);
  await advanceBank(transaction, before, records);
  return records;
}

/** Makes the bank's row where there is none, and locks it until the end: writers of one bank come one after another. */
async function lockBank(
  { query, dialect, tables: { banks }, bankId }: BankTransaction,
  { expectedVersion }: OperationBatch,
): Promise<BankState> {
  await query(
    `INSERT INTO ${banks} (bank_id, version, next_id) VALUES ($1, 0, 0)
     ON CONFLICT (bank_id) DO NOTHING`,
    [bankId],
  );
  const rows = await query(
    `UPDATE ${banks} SET version = version WHERE bank_id = $1 RETURNING version, next_id`,
    [bankId],
  );
  const [state] = rowsOf(rows, bankRow, dialect);
  // Someone removed the bank between the two statements.
  if (state === undefined) throw new VersionConflictError(bankId, expectedVersion, 0);
  return { version: state.version, nextId: state.next_id };
}

/** The entries that the batch changes, deletes or gives vectors, as far as they are there. */
async function readNamedEntries(
  { query, dialect, tables: { entries }, bankId }: BankTransaction,
  { operations, vectors }: OperationBatch,
  { nextId }: BankState,
): Promise<readonly MemoryEntry[]> {
  const named = [
    ...operations.flatMap(({ operation }) => ("id" in operation ? [operation.id] : [])),
    ...(vectors?.keys() ?? []),
  ];
  const known: MemoryEntry[] = [];
  for (const ids of chunksOf(storedIds(named, nextId))) {
    const rows = await query(
      `SELECT CAST(entry AS TEXT) AS entry FROM ${entries}
       WHERE bank_id = $1 AND id IN (${parameters(2, ids.length)}) ORDER BY id`,
      [bankId, ...ids],
    );
    known.push(...rowsOf(rows, entryRow, dialect).map(({ entry }) => entryOf(entry, dialect)));
  }
  return known;
}

/** Entries that had a row before the batch and have none after it. */
function removedIds(
  records: readonly StoredRecord[],
  bank: MemoryBank,
  { nextId }: BankState,
): readonly number[] {
  const gone = [...changedIds(records)].filter((id) => bank.get(id) === undefined);
  return storedIds(gone, nextId);
}

async function deleteEntries(
  { query, tables: { entries }, bankId }: BankTransaction,
  removed: readonly number[],
): Promise<void> {
  for (const ids of chunksOf(removed)) {
    await query(
      `DELETE FROM ${entries} WHERE bank_id = $1 AND id IN (${parameters(2, ids.length)})`,
      [bankId, ...ids],
    );
  }
}

/** Entries that are new, have another text or get a vector. */
function writtenEntries(
  records: readonly StoredRecord[],
  bank: MemoryBank,
  { vectors }: OperationBatch,
): readonly MemoryEntry[] {
  const ids = new Set([...changedIds(records), ...(vectors?.keys() ?? [])]);
  return [...ids].flatMap((id) => bank.get(id) ?? []);
}

/** Puts the entries in place of their rows, if any. An entry whose text changed loses the vector of the old one. */
async function writeEntries(
  { query, dialect, tables: { entries }, bankId }: BankTransaction,
  written: readonly MemoryEntry[],
  vectors: OperationBatch["vectors"],
): Promise<void> {
  for (const chunk of chunksOf(written)) {
    const rows = chunk.map((_, row) => {
      const [bank, id, entry, dimension, vector = ""] = columns(row, 5);
      return `(${bank}, ${id}, ${entry}, ${dimension}, ${dialect.vectorParameter(vector)})`;
    });
    await query(
      `INSERT INTO ${entries} (bank_id, id, entry, dimension, vector) VALUES ${rows.join(", ")}
       ON CONFLICT (bank_id, id) DO UPDATE
       SET entry = excluded.entry, dimension = excluded.dimension, vector = excluded.vector`,
      chunk.flatMap((entry) => {
        const vector = vectors?.get(entry.id);
        return [
          bankId,
          Number(entry.id),
          JSON.stringify(entry),
          vector?.length ?? null,
          vector === undefined ? null : dialect.vectorValue(vector),
        ];
      }),
    );
  }
}

async function writeJournal(
  { query, tables: { journal }, bankId }: BankTransaction,
  records: readonly StoredRecord[],
): Promise<void> {
  for (const chunk of chunksOf(records)) {
    const rows = chunk.map((_, row) => `(${columns(row, 3).join(", ")})`);
    await query(
      `INSERT INTO ${journal} (bank_id, position, record) VALUES ${rows.join(", ")}`,
      chunk.flatMap((record) => [bankId, record.index, JSON.stringify(record)]),
    );
  }
}

/** The version counts records, the next id the entries that were ever made. */
async function advanceBank(
  { query, tables: { banks }, bankId }: BankTransaction,
  { version, nextId }: BankState,
  records: readonly StoredRecord[],
): Promise<void> {
  const created = records.filter(({ createdId }) => createdId !== undefined).length;
  await query(`UPDATE ${banks} SET version = $2, next_id = $3 WHERE bank_id = $1`, [
    bankId,
    version + records.length,
    nextId + created,
  ]);
}

/** Those that a bank can hold, as its rows' numbers: what a model invented never reaches the database. */
function storedIds(ids: readonly string[], nextId: number): readonly number[] {
  return [...new Set(ids)]
    .map(Number)
    .filter((id) => Number.isInteger(id) && id >= 0 && id < nextId);
}

/** `count` parameters from `$first` on, as a list in a statement. */
function parameters(first: number, count: number): string {
  return Array.from({ length: count }, (_, index) => `$${first + index}`).join(", ");
}

/** The parameters of one row's columns in a statement that writes several rows. */
function columns(row: number, count: number): readonly string[] {
  return Array.from({ length: count }, (_, column) => `$${row * count + column + 1}`);
}

function chunksOf<Item>(items: readonly Item[]): readonly (readonly Item[])[] {
  return Array.from({ length: Math.ceil(items.length / rowsPerStatement) }, (_, index) =>
    items.slice(index * rowsPerStatement, (index + 1) * rowsPerStatement),
  );
}
