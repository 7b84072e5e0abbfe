import { parseJson, parseValue, type MemoryEntry } from "@memory-r1/spec";
import type { z } from "zod";
import { memoryEntrySchema } from "./batch.ts";

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

/** Names of the three tables: one row for each bank, entry and record. */
export type SqlTables = Readonly<Record<"banks" | "entries" | "journal", string>>;

/** Rows as the schema says they are. @throws DataFormatError */
export function rowsOf<Row>(
  rows: readonly unknown[],
  schema: z.ZodType<Row>,
  { description }: SqlDialect,
): readonly Row[] {
  return rows.map((row) => parseValue(row, schema, description));
}

/** An entry of its column's text. */
export function entryOf(text: string, { description }: SqlDialect): MemoryEntry {
  return parseJson(text, memoryEntrySchema, description);
}
