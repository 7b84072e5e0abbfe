import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import {
  type Client,
  createClient,
  type InStatement,
  LibsqlError,
  type Transaction,
} from "@libsql/client/sqlite3";
import { ConfigError, DataFormatError } from "@memory-r1/spec";
import pLimit from "p-limit";
import type { SqlDatabase, SqlDialect, SqlQuery, SqlValue } from "./sql-dialect.ts";
import { vectorFromBytes, vectorToBytes } from "./vector-bytes.ts";

export interface SqliteStoreOptions {
  /** A file, made where it is missing (its folder is not), or `:memory:`. */
  readonly path: string;
  /** How long to wait for other processes that write to the same file. Default 10,000. */
  readonly busyTimeoutMs?: number;
}

const retryAfterMs = 5;

export async function openSqlite({
  path,
  busyTimeoutMs = 10_000,
}: SqliteStoreOptions): Promise<SqlDatabase> {
  const client = openClient(path);
  // The driver has one connection here and runs statements synchronously. What waits therefore waits here, so that the
  // other transactions of this process can go on and free the file.
  const oneAtATime = pLimit(1);
  const untilFree = async <Result>(attempt: () => Promise<Result>): Promise<Result> => {
    for (let waitedMs = 0; ; waitedMs += retryAfterMs) {
      try {
        return await attempt();
      } catch (error) {
        if (!isBusy(error) || waitedMs >= busyTimeoutMs) throw error;
        // A statement that was refused stays open in this driver until it is collected as garbage, and a later COMMIT on
        // its connection fails: a new connection has no such statement.
        client.reconnect();
        await sleep(retryAfterMs);
      }
    }
  };
  try {
    await untilFree(() => client.execute("PRAGMA journal_mode = WAL"));
  } catch (error) {
    client.close();
    throw cannotOpen(path, error);
  }
  return {
    query: (text, values) =>
      oneAtATime(() => untilFree(async () => (await client.execute(statement(text, values))).rows)),
    transaction: (work) =>
      oneAtATime(async () => {
        const transaction = await untilFree(() => client.transaction("write"));
        return inTransaction(transaction, work);
      }),
    close: () => oneAtATime(async () => client.close()),
  };
}

async function inTransaction<Result>(
  transaction: Transaction,
  work: (query: SqlQuery) => Promise<Result>,
): Promise<Result> {
  try {
    const result = await work(
      async (text, values) => (await transaction.execute(statement(text, values))).rows,
    );
    await transaction.commit();
    return result;
  } finally {
    // Rolls back what was not committed.
    transaction.close();
  }
}

function openClient(path: string): Client {
  try {
    return createClient({
      url: path === ":memory:" ? path : pathToFileURL(path).href,
      concurrency: 1,
    });
  } catch (error) {
    throw cannotOpen(path, error);
  }
}

function cannotOpen(path: string, error: unknown): ConfigError {
  return new ConfigError(
    `The memory store ${path} cannot be opened: ${error instanceof Error ? error.message : String(error)}. Check that it is a SQLite file or a new name in a folder that exists and may be written to.`,
    error,
  );
}

function isBusy(error: unknown): boolean {
  return error instanceof LibsqlError && error.code === "SQLITE_BUSY";
}

function statement(text: string, values: readonly SqlValue[] = []): InStatement {
  return {
    sql: text.replaceAll(/\$(\d+)/g, "?$1"),
    args: values.map((value) => (typeof value === "number" ? BigInt(value) : value)),
  };
}

export function sqliteDialect(path: string): SqlDialect {
  const description = `The memory store ${path}`;
  return {
    name: "sqlite",
    description,
    prefix: "",
    preparation: [],
    vectorType: "BLOB",
    jsonType: "TEXT",
    bankIdType: "TEXT",
    // libSQL's own form of a float32 vector: its numbers, little-endian.
    vectorValue: vectorToBytes,
    vectorParameter: (parameter) => parameter,
    vectorColumn: (column) => column,
    readVector: (value) => {
      const vector =
        value instanceof ArrayBuffer ? vectorFromBytes(new Uint8Array(value)) : undefined;
      if (vector !== undefined) return vector;
      throw new DataFormatError({
        source: description,
        path: "a vector",
        problem: "the value is no whole number of 4-byte floats",
        fix: "the file may be damaged: import an export of it into a new file",
      });
    },
    cosineDistance: (column, parameter) => `vector_distance_cos(${column}, ${parameter})`,
  };
}
