import {
  ConfigError,
  HarnessError,
  parseJson,
  parseValue,
  StoreError,
  VersionConflictError,
} from "@memory-r1/spec";
import { z } from "zod";
import { restoreBank } from "../bank/memory-bank.ts";
import {
  applyBatch,
  changedIds,
  memoryEntrySchema,
  requireBankId,
  requireBatch,
  requireVector,
  storedRecordSchema,
  throwOtherDimension,
} from "./batch.ts";
import type { MemoryStore } from "./memory-store.ts";

/** A value of a statement. Numbers are integers. */
export type SqlValue = string | number | Uint8Array | null;

/** Runs one statement; its values stand at $1, $2, … Rows are objects by column name. */
export type SqlQuery = (
  statement: string,
  values?: readonly SqlValue[],
) => Promise<readonly unknown[]>;

/** A connection or a pool of them. */
export interface SqlDatabase {
  readonly query: SqlQuery;
  /** Runs `work` in one transaction that may write: committed where it resolves, rolled back where it rejects. */
  transaction<Result>(work: (query: SqlQuery) => Promise<Result>): Promise<Result>;
  close(): Promise<void>;
}

/** What differs between databases that otherwise take the same statements. */
export interface SqlDialect {
  readonly name: string;
  /** The database in words, for messages. */
  readonly description: string;
  /** Stands before every table's name. */
  readonly prefix: string;
  /** Run first in the transaction that makes the tables. */
  readonly preparation: readonly string[];
  readonly vectorType: string;
  readonly jsonType: string;
  readonly bankIdType: string;
  vectorValue(vector: Float32Array): SqlValue;
  /** An expression for a value made by vectorValue. */
  vectorParameter(parameter: string): string;
  /** An expression for the column that readVector understands. */
  vectorColumn(column: string): string;
  readVector(value: unknown): Float32Array;
  /** An expression for the cosine distance, 0 to 2. */
  cosineDistance(column: string, parameter: string): string;
}

const schemaVersion = 1;
const journalPageSize = 1000;
// Some databases take few values in one statement.
const rowsPerStatement = 200;

const versionRow = z.object({ version: z.int() });
const bankRow = z.object({ version: z.int(), next_id: z.int() });
const snapshotRow = z.object({ ...bankRow.shape, entry: z.string().nullable() });
const vectorRow = z.object({ version: z.int(), id: z.int().nullable(), vector: z.unknown() });
const entryRow = z.object({ entry: z.string(), vector: z.unknown() });
const foundRow = z.object({ entry: z.string(), distance: z.number() });
const recordRow = z.object({ record: z.string() });
const bankIdRow = z.object({ bank_id: z.string() });
const dimensionRow = z.object({ dimension: z.int() });

/**
 * A MemoryStore in tables of any SQL database that has JSON text and vectors: one row for each bank, entry and record,
 * so that an append costs what its batch costs, however large the bank is.
 * @throws ConfigError where the tables are those of a newer version; StoreError where the database fails.
 */
export async function createSqlStore(
  database: SqlDatabase,
  dialect: SqlDialect,
): Promise<MemoryStore> {
  const banks = `${dialect.prefix}memory_banks`;
  const entries = `${dialect.prefix}memory_entries`;
  const journal = `${dialect.prefix}memory_journal`;
  let isClosed = false;

  const guarded = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    if (isClosed) throw new StoreError("The store is closed. Create a new one.");
    try {
      return await work();
    } catch (error) {
      throw asStoreError(dialect.description, error);
    }
  };
  const rowsOf = <Row>(rows: readonly unknown[], schema: z.ZodType<Row>): readonly Row[] =>
    rows.map((row) => parseValue(row, schema, dialect.description));
  const entryOf = (text: string) => parseJson(text, memoryEntrySchema, dialect.description);

  try {
    await prepareTables(database, dialect, { banks, entries, journal });
  } catch (error) {
    await database.close();
    throw asStoreError(dialect.description, error);
  }

  return {
    name: dialect.name,

    banks: () =>
      guarded(async () => {
        const rows = await database.query(`SELECT bank_id FROM ${banks} WHERE version > 0`);
        return rowsOf(rows, bankIdRow)
          .map(({ bank_id }) => bank_id)
          .toSorted();
      }),

    read: (bankId) =>
      guarded(async () => {
        requireBankId(bankId);
        // One statement, so that version and entries are of one moment.
        const rows = rowsOf(
          await database.query(
            `SELECT b.version, b.next_id, CAST(e.entry AS TEXT) AS entry
             FROM ${banks} b LEFT JOIN ${entries} e ON e.bank_id = b.bank_id
             WHERE b.bank_id = $1 ORDER BY e.id`,
            [bankId],
          ),
          snapshotRow,
        );
        return {
          version: rows[0]?.version ?? 0,
          nextId: rows[0]?.next_id ?? 0,
          entries: rows.flatMap(({ entry }) => (entry === null ? [] : [entryOf(entry)])),
        };
      }),

    append: (bankId, batch) =>
      guarded(async () => {
        requireBankId(bankId);
        const checked = requireBatch(batch);
        return database.transaction(async (query) => {
          await query(
            `INSERT INTO ${banks} (bank_id, version, next_id) VALUES ($1, 0, 0)
             ON CONFLICT (bank_id) DO NOTHING`,
            [bankId],
          );
          // Locks the bank's row until the end, so that writers of one bank come one after another.
          const [bankState] = rowsOf(
            await query(
              `UPDATE ${banks} SET version = version WHERE bank_id = $1 RETURNING version, next_id`,
              [bankId],
            ),
            bankRow,
          );
          // Someone removed the bank between the two statements.
          if (bankState === undefined) {
            throw new VersionConflictError(bankId, checked.expectedVersion, 0);
          }
          const { version, next_id: nextId } = bankState;
          const named = [
            ...checked.operations.flatMap(({ operation }) =>
              "id" in operation ? [operation.id] : [],
            ),
            ...(checked.vectors?.keys() ?? []),
          ];
          const known: z.infer<typeof entryRow>[] = [];
          for (const ids of chunksOf(storedIds(named, nextId))) {
            const rows = await query(
              `SELECT CAST(entry AS TEXT) AS entry, ${dialect.vectorColumn("vector")} AS vector
               FROM ${entries} WHERE bank_id = $1 AND id IN (${parameters(2, ids.length)}) ORDER BY id`,
              [bankId, ...ids],
            );
            known.push(...rowsOf(rows, entryRow));
          }
          const bank = restoreBank({
            entries: known.map(({ entry }) => entryOf(entry)),
            version,
            nextId,
          });
          const records = applyBatch(bank, bankId, version, checked);

          const changed = changedIds(records);
          const removed = storedIds(
            [...changed].filter((id) => bank.get(id) === undefined),
            nextId,
          );
          for (const ids of chunksOf(removed)) {
            await query(
              `DELETE FROM ${entries} WHERE bank_id = $1 AND id IN (${parameters(2, ids.length)})`,
              [bankId, ...ids],
            );
          }
          const written = [...new Set([...changed, ...(checked.vectors?.keys() ?? [])])].flatMap(
            (id) => bank.get(id) ?? [],
          );
          for (const chunk of chunksOf(written)) {
            const rows = chunk.map((_, row) => {
              const [bankParameter, id, entry, dimension, vector] = [1, 2, 3, 4, 5].map(
                (column) => `$${row * 5 + column}`,
              );
              return `(${bankParameter}, ${id}, ${entry}, ${dimension}, ${dialect.vectorParameter(vector ?? "")})`;
            });
            await query(
              `INSERT INTO ${entries} (bank_id, id, entry, dimension, vector) VALUES ${rows.join(", ")}
               ON CONFLICT (bank_id, id) DO UPDATE
               SET entry = excluded.entry, dimension = excluded.dimension, vector = excluded.vector`,
              chunk.flatMap((entry) => {
                const vector = checked.vectors?.get(entry.id);
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
          for (const chunk of chunksOf(records)) {
            const rows = chunk.map(
              (_, row) => `($${row * 3 + 1}, $${row * 3 + 2}, $${row * 3 + 3})`,
            );
            await query(
              `INSERT INTO ${journal} (bank_id, position, record) VALUES ${rows.join(", ")}`,
              chunk.flatMap((record) => [bankId, record.index, JSON.stringify(record)]),
            );
          }
          const created = records.filter(({ createdId }) => createdId !== undefined).length;
          await query(`UPDATE ${banks} SET version = $2, next_id = $3 WHERE bank_id = $1`, [
            bankId,
            version + records.length,
            nextId + created,
          ]);
          return records;
        });
      }),

    journal: async function* (bankId, { from = 0, to = Number.MAX_SAFE_INTEGER } = {}) {
      requireBankId(bankId);
      for (let start = from; start < to; start += journalPageSize) {
        const rows = await guarded(() =>
          database.query(
            `SELECT CAST(record AS TEXT) AS record FROM ${journal}
             WHERE bank_id = $1 AND position >= $2 AND position < $3 ORDER BY position`,
            [bankId, start, Math.min(start + journalPageSize, to)],
          ),
        );
        for (const { record } of rowsOf(rows, recordRow)) {
          yield parseJson(record, storedRecordSchema, dialect.description);
        }
        if (rows.length < journalPageSize) return;
      }
    },

    vectors: (bankId) =>
      guarded(async () => {
        requireBankId(bankId);
        const rows = rowsOf(
          await database.query(
            `SELECT b.version, e.id, ${dialect.vectorColumn("e.vector")} AS vector
             FROM ${banks} b LEFT JOIN ${entries} e ON e.bank_id = b.bank_id AND e.vector IS NOT NULL
             WHERE b.bank_id = $1 ORDER BY e.id`,
            [bankId],
          ),
          vectorRow,
        );
        return {
          version: rows[0]?.version ?? 0,
          vectors: new Map(
            rows.flatMap(({ id, vector }): [string, Float32Array][] =>
              id === null ? [] : [[String(id), dialect.readVector(vector)]],
            ),
          ),
        };
      }),

    search: (bankId, vector, count) =>
      guarded(async () => {
        requireBankId(bankId);
        requireVector(vector, "the query");
        const rows = rowsOf(
          await database.query(
            `SELECT CAST(entry AS TEXT) AS entry, ${dialect.cosineDistance("vector", "$2")} AS distance
             FROM ${entries} WHERE bank_id = $1 AND dimension = $3 ORDER BY distance, id LIMIT $4`,
            [bankId, dialect.vectorValue(vector), vector.length, Math.max(0, count)],
          ),
          foundRow,
        );
        if (rows.length === 0 && count > 0) {
          const [other] = rowsOf(
            await database.query(
              `SELECT dimension FROM ${entries} WHERE bank_id = $1 AND dimension IS NOT NULL LIMIT 1`,
              [bankId],
            ),
            dimensionRow,
          );
          if (other !== undefined) throwOtherDimension(bankId, other.dimension, vector.length);
        }
        return rows.map(({ entry, distance }) => ({
          entry: entryOf(entry),
          similarity: 1 - distance,
        }));
      }),

    remove: (bankId) =>
      guarded(async () => {
        requireBankId(bankId);
        await database.transaction(async (query) => {
          // The bank's own row first: it is what writers lock.
          for (const table of [banks, entries, journal]) {
            await query(`DELETE FROM ${table} WHERE bank_id = $1`, [bankId]);
          }
        });
      }),

    close: async () => {
      if (isClosed) return;
      isClosed = true;
      await database.close();
    },
  };
}

async function prepareTables(
  database: SqlDatabase,
  { prefix, preparation, description, bankIdType, jsonType, vectorType }: SqlDialect,
  { banks, entries, journal }: Readonly<Record<"banks" | "entries" | "journal", string>>,
): Promise<void> {
  await database.transaction(async (query) => {
    for (const statement of preparation) await query(statement);
    await query(`CREATE TABLE IF NOT EXISTS ${prefix}memory_schema (version INTEGER NOT NULL)`);
    const [found] = await query(`SELECT version FROM ${prefix}memory_schema`);
    if (found !== undefined) {
      const { version } = parseValue(found, versionRow, description);
      if (version <= schemaVersion) return;
      throw new ConfigError(
        `${description} was written by a newer version of Memory-R1: its tables have version ${version}, this program knows ${schemaVersion}. Update the program, or open another database.`,
      );
    }
    await query(
      `CREATE TABLE ${banks} (
         bank_id ${bankIdType} PRIMARY KEY, version INTEGER NOT NULL, next_id INTEGER NOT NULL)`,
    );
    await query(
      `CREATE TABLE ${entries} (
         bank_id ${bankIdType} NOT NULL, id INTEGER NOT NULL, entry ${jsonType} NOT NULL,
         dimension INTEGER, vector ${vectorType}, PRIMARY KEY (bank_id, id))`,
    );
    await query(
      `CREATE TABLE ${journal} (
         bank_id ${bankIdType} NOT NULL, position INTEGER NOT NULL, record ${jsonType} NOT NULL,
         PRIMARY KEY (bank_id, position))`,
    );
    await query(`INSERT INTO ${prefix}memory_schema (version) VALUES (${schemaVersion})`);
  });
}

function asStoreError(description: string, error: unknown): unknown {
  if (HarnessError.isInstance(error)) return error;
  return new StoreError(
    `${description} failed: ${error instanceof Error ? error.message : String(error)}. What was not confirmed is not stored; check the database and try again.`,
    error,
  );
}

/** Those that a bank can hold, as its rows' numbers: what a model invented never reaches the database. */
function storedIds(ids: readonly string[], nextId: number): readonly number[] {
  return [...new Set(ids)]
    .map(Number)
    .filter((id) => Number.isInteger(id) && id >= 0 && id < nextId);
}

function parameters(first: number, count: number): string {
  return Array.from({ length: count }, (_, index) => `$${first + index}`).join(", ");
}

function chunksOf<Item>(items: readonly Item[]): readonly (readonly Item[])[] {
  return Array.from({ length: Math.ceil(items.length / rowsPerStatement) }, (_, index) =>
    items.slice(index * rowsPerStatement, (index + 1) * rowsPerStatement),
  );
}
