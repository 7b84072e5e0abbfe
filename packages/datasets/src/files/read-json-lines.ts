import type { z } from "zod";
import type { DatasetFault } from "../dataset-definition.ts";
import { faultsOfIssues } from "./faults.ts";
import { findWideEncoding, readJson, splitLines } from "./read-json.ts";

/** A line of a file with JSON in each. */
export interface JsonLine<T> {
  /** From 1. */
  readonly line: number;
  readonly value: T;
}

/** The lines that fit a schema, and the faults of all others. */
export interface JsonLines<T> {
  readonly lines: readonly JsonLine<T>[];
  readonly faults: readonly DatasetFault[];
}

const isWhiteSpace = (byte: number): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0d;

/** Reads a file that holds one JSON value in each line; lines of white space are none. A faulty line hides no other. */
export function readJsonLines<T>(
  bytes: Uint8Array,
  file: string,
  schema: z.ZodType<T>,
): JsonLines<T> {
  const wide = findWideEncoding(bytes, { file });
  if (wide !== undefined) return { lines: [], faults: [wide] };
  const lines: JsonLine<T>[] = [];
  const faults: DatasetFault[] = [];
  let line = 0;
  for (const lineBytes of splitLines(bytes)) {
    line += 1;
    if (lineBytes.every(isWhiteSpace)) continue;
    const place = { file, line };
    const reading = readJson(lineBytes, place);
    if (reading.status === "faulty") {
      faults.push(...reading.faults);
      continue;
    }
    const { value } = reading;
    const result = schema.safeParse(value);
    if (result.success) lines.push({ line, value: result.data });
    else faults.push(...faultsOfIssues({ issues: result.error.issues, value, schema, place }));
  }
  return { lines, faults };
}
