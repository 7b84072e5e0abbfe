import { ConfigError, HarnessError, parseJson, parseValue, StoreError } from "@memory-r1/spec";
import { z } from "zod";
import {
  requireBankId,
  requireBatch,
  requireVector,
  storedRecordSchema,
  throwOtherDimension,
} from "./batch.ts";
import type { MemoryStore } from "./memory-store.ts";
import { appendBatch } from "./sql-append.ts";
import {
  entryOf,
  rowsOf,
  type SqlDatabase,
  type SqlDialect,
  type SqlTables,
} from "./sql-dialect.ts";

const schemaVersion = 1;
const journalPageSize = 1000;

const versionRow = z.object({ version: z.int() });
const snapshotRow = z.object({
  version: z.int(),
  next_id: z.int(),
  entry: z.string().nullable(),
});
const vectorRow = z.object({ version: z.int(), id: z.int().nullable(), vector: z.unknown() });
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
  const tables: SqlTables = {
    banks: `${dialect.prefix}memory_banks`,
    entries: `${dialect.prefix}memory_entries`,
    journal: `${dialect.prefix}memory_journal`,
  };
  const { banks, entries, journal } = tables;
  let isClosed = false;

  const guarded = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    if (isClosed) throw new StoreError("The store is closed. Create a new one.");
    try {
      return await work();
    } catch (error) {
      throw asStoreError(dialect.description, error);
    }
  };

  try {
    await prepareTables(database, dialect, tables);
  } catch (error) {
    await database.close();
    throw asStoreError(dialect.description, error);
  }

  return {
    name: dialect.name,

    banks: () =>
      guarded(async () => {
        const rows = await database.query(`SELECT bank_id FROM ${banks} WHERE version > 0`);
        return rowsOf(rows, bankIdRow, dialect)
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
          dialect,
        );
        return {
          version: rows[0]?.version ?? 0,
          nextId: rows[0]?.next_id ?? 0,
          entries: rows.flatMap(({ entry }) => (entry === null ? [] : [entryOf(entry, dialect)])),
        };
      }),

    append: (bankId, batch) =>
      guarded(async () => {
        requireBankId(bankId);
        const checked = requireBatch(batch);
        return database.transaction((query) =>
          appendBatch({ query, dialect, tables, bankId }, checked),
        );
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
        for (const { record } of rowsOf(rows, recordRow, dialect)) {
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
          dialect,
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
          dialect,
        );
        if (rows.length === 0 && count > 0) {
          const [other] = rowsOf(
            await database.query(
              `SELECT dimension FROM ${entries} WHERE bank_id = $1 AND dimension IS NOT NULL LIMIT 1`,
              [bankId],
            ),
            dimensionRow,
            dialect,
          );
          if (other !== undefined) throwOtherDimension(bankId, other.dimension, vector.length);
        }
        return rows.map(({ entry, distance }) => ({
          entry: entryOf(entry, dialect),
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
  { banks, entries, journal }: SqlTables,
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
