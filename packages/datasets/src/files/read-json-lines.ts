import type { z } from "zod";
import type { DatasetFault } from "../dataset-definition.ts";
import { faultsOfIssues } from "./faults.ts";
import { type BytesPlace, findWideEncoding, readJson, splitLines } from "./read-json.ts";

/** A file that holds one JSON value in each line: its name for messages, and its bytes. */
export interface JsonlFile {
  readonly file: string;
  readonly bytes: Uint8Array;
}

export interface JsonLine<T> {
  readonly place: Required<BytesPlace>;
  readonly value: T;
}

export interface JsonLines<T> {
  readonly lines: readonly JsonLine<T>[];
  readonly faults: readonly DatasetFault[];
  /** Whether a line is missing here because it could not be read. */
  readonly isIncomplete: boolean;
}

/** The lines of a file that fit a schema, and the faults of the others. Lines of white space are none. */
export function readJsonLines<T>({ file, bytes }: JsonlFile, schema: z.ZodType<T>): JsonLines<T> {
  const wide = findWideEncoding(bytes, { file });
  if (wide !== undefined) return { lines: [], faults: [wide], isIncomplete: true };
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
    if (result.success) lines.push({ place, value: result.data });
    else faults.push(...faultsOfIssues({ issues: result.error.issues, value, schema, place }));
  }
  return { lines, faults, isIncomplete: faults.length > 0 };
}

const isWhiteSpace = (byte: number): boolean => byte === 0x20 || byte === 0x09 || byte === 0x0d;
