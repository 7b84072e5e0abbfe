import { ConfigError, DataFormatError, parseJson } from "@memory-r1/spec";
import pg from "pg";
import { z } from "zod";
import type { MemoryStore } from "./memory-store.ts";
import type { SqlDatabase, SqlDialect, SqlQuery } from "./sql-dialect.ts";
import { createSqlStore } from "./sql-store.ts";

export interface PostgresStoreOptions {
  /** `postgres://user:password@host:port/database`. */
  readonly connectionString: string;
  /** The PostgreSQL schema that holds the tables; made where it is missing. Default `memory_r1`. */
  readonly schema?: string;
  /** Most connections at once. Default 10. */
  readonly maxConnections?: number;
}

/**
 * A store in PostgreSQL 12 or newer with pgvector, for many processes and machines: writers of one bank come one after
 * another, writers of different banks do not wait.
 * @throws ConfigError where the schema's name cannot be used or the tables are of a newer version; StoreError where the
 * server cannot be reached, or lacks pgvector and the user may not create the extension.
 */
export async function createPostgresStore({
  connectionString,
  schema = "memory_r1",
  maxConnections = 10,
}: PostgresStoreOptions): Promise<MemoryStore> {
  if (!/^[a-z_][a-z0-9_]{0,62}$/.test(schema)) {
    throw new ConfigError(
      `The PostgreSQL schema ${JSON.stringify(schema)} cannot be used. Give up to 63 small letters, digits and underscores, the first no digit.`,
    );
  }
  return createSqlStore(openPostgres(connectionString, maxConnections), postgresDialect(schema));
}

function openPostgres(connectionString: string, maxConnections: number): SqlDatabase {
  const pool = new pg.Pool({ connectionString, max: maxConnections });
  // An idle connection that breaks is replaced by the pool; without a listener its error would end the process.
  pool.on("error", () => undefined);
  const queryBy =
    (client: pg.Pool | pg.PoolClient): SqlQuery =>
    async (statement, values = []) =>
      (await client.query<Record<string, unknown>>(statement, [...values])).rows;
  return {
    query: queryBy(pool),
    transaction: async (work) => {
      const client = await pool.connect();
      const query = queryBy(client);
      // Given back only when its transaction is known to have ended; otherwise the connection is closed, which ends it.
      let isEnded = false;
      try {
        await query("BEGIN");
        try {
          const result = await work(query);
          await query("COMMIT");
          isEnded = true;
          return result;
        } catch (error) {
          await query("ROLLBACK").then(
            () => {
              isEnded = true;
            },
            () => undefined,
          );
          throw error;
        }
      } finally {
        client.release(!isEnded);
      }
    },
    close: () => pool.end(),
  };
}

function postgresDialect(schema: string): SqlDialect {
  const description = `The memory store in PostgreSQL's schema ${schema}`;
  return {
    name: "postgres",
    description,
    prefix: `${schema}.`,
    preparation: [
      // CREATE … IF NOT EXISTS of two sessions at once is an error without this: the number is this project's alone.
      "SELECT pg_advisory_xact_lock(2508198280)",
      "CREATE EXTENSION IF NOT EXISTS vector",
      `CREATE SCHEMA IF NOT EXISTS ${schema}`,
    ],
    vectorType: "vector",
    // json keeps its text as it is; jsonb would not, and refuses U+0000.
    jsonType: "json",
    bankIdType: 'text COLLATE "C"',
    // The shortest decimal form of a float32's double value is read back as the same float32.
    vectorValue: (vector) => `[${vector.join(",")}]`,
    vectorParameter: (parameter) => `CAST(${parameter} AS vector)`,
    vectorColumn: (column) => `CAST(${column} AS TEXT)`,
    readVector: (value) => {
      if (typeof value === "string") {
        return Float32Array.from(parseJson(value, z.array(z.number()), description));
      }
      throw new DataFormatError({
        source: description,
        path: "a vector",
        problem: `pgvector gave a ${typeof value}`,
        fix: "check that the extension vector is pgvector",
      });
    },
    cosineDistance: (column, parameter) => `(${column} <=> CAST(${parameter} AS vector))`,
  };
}
