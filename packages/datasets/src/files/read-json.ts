import { DataFormatError, parseJson } from "@memory-r1/spec";
import { z } from "zod";
import type { DatasetFault } from "../dataset-definition.ts";
import { cutText, describeValue } from "./faults.ts";
import { findJsonFlaws } from "./json-flaws.ts";

/** What a JSON document came to: its value, or everything that keeps it from being read. */
export type JsonReading =
  | { readonly status: "read"; readonly value: unknown }
  | { readonly status: "faulty"; readonly faults: readonly DatasetFault[] };

/** Where bytes stand: a file, or one line of it. */
export interface BytesPlace {
  readonly file: string;
  readonly line?: number;
}

const anything = z.unknown();
const saveAsUtf8 = "save the file as UTF-8";

/**
 * Reads one JSON document from bytes that must be UTF-8; a byte order mark at the start is dropped. Unlike JSON.parse
 * alone it replaces no bytes, and refuses keys that stand twice (see findJsonFlaws).
 * @param options.findFlaws false for bytes whose checksum says that they have none
 */
export function readJson(
  bytes: Uint8Array,
  place: BytesPlace,
  { findFlaws = true }: { readonly findFlaws?: boolean } = {},
): JsonReading {
  const decoded = decodeUtf8(bytes, place);
  if (typeof decoded !== "string") return { status: "faulty", faults: [decoded] };
  let value: unknown;
  try {
    value = parseJson(decoded, anything, place.file);
  } catch (error) {
    if (!(error instanceof DataFormatError)) throw error;
    return { status: "faulty", faults: [syntaxFault(decoded, error, place)] };
  }
  const faults = (findFlaws ? findJsonFlaws(decoded) : []).map(
    ({ path, offset, value: found, problem, fix }): DatasetFault => ({
      file: place.file,
      line: place.line ?? lineAt(decoded, offset),
      field: path,
      value: cutText(found),
      problem,
      fix,
    }),
  );
  return faults.length > 0 ? { status: "faulty", faults } : { status: "read", value };
}

/** The text, or the fault of bytes that are no UTF-8. */
function decodeUtf8(bytes: Uint8Array, place: BytesPlace): string | DatasetFault {
  const wide = findWideEncoding(bytes, place);
  if (wide !== undefined) return wide;
  const text = tryDecode(bytes);
  if (text !== undefined) return text;
  const { line, value } = findInvalidLine(bytes);
  return {
    file: place.file,
    line: place.line ?? line,
    field: "",
    value,
    problem: "holds bytes that are no UTF-8 (Latin-1 or another encoding)",
    fix: saveAsUtf8,
  };
}

/** The fault of UTF-16 and UTF-32: known by a byte order mark, or by the zero bytes among the first of any JSON. */
export function findWideEncoding(bytes: Uint8Array, place: BytesPlace): DatasetFault | undefined {
  const [first, second] = bytes;
  const isMarked = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  if (!isMarked && first !== 0 && second !== 0) return undefined;
  const problem = isMarked ? "is UTF-16" : "is UTF-16 or UTF-32, or a binary file";
  return { ...place, field: "", value: "", problem, fix: saveAsUtf8 };
}

function tryDecode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    // The one thing that a fatal decoder throws; a text too long for V8 is another error and passes on.
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/** The first line that is no UTF-8, from 1, as far as it can be read. A newline is never part of a longer sequence. */
function findInvalidLine(bytes: Uint8Array): { readonly line: number; readonly value: string } {
  let line = 1;
  for (const part of splitLines(bytes)) {
    if (tryDecode(part) === undefined) {
      const readable = new TextDecoder().decode(part);
      const start = Math.max(0, readable.indexOf("\ufffd") - 30);
      return { line, value: describeValue(readable.slice(start, start + 60)) };
    }
    line += 1;
  }
  return { line, value: "" };
}

/** The lines of a file without their newlines (`\n` or `\r\n`); an empty last one is none. */
export function* splitLines(bytes: Uint8Array): Generator<Uint8Array> {
  let start = 0;
  while (start < bytes.length) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline < 0 ? bytes.length : newline;
    yield bytes.subarray(start, end > start && bytes[end - 1] === 0x0d ? end - 1 : end);
    start = end + 1;
  }
}

function syntaxFault(text: string, error: DataFormatError, place: BytesPlace): DatasetFault {
  const reason = error.cause instanceof Error ? error.cause.message : error.message;
  const position =
    /at position (\d+)/.exec(reason)?.[1] ??
    (reason.includes("end of JSON") ? text.length : undefined);
  const offset = position === undefined ? undefined : Number(position);
  const line = place.line ?? (offset === undefined ? undefined : lineAt(text, offset));
  const token = /\b(?:NaN|-?Infinity)\b/.exec(reason)?.[0];
  return {
    file: place.file,
    ...(line === undefined ? {} : { line }),
    field: "",
    // Where V8 gives no position, its message quotes the place.
    value:
      offset === undefined ? "" : describeValue(text.slice(Math.max(0, offset - 30), offset + 30)),
    problem: `is not valid JSON: ${reason}`,
    fix:
      token === undefined
        ? "the file may be cut off or edited: mend the place or get the file again"
        : `JSON has no ${token}: leave the field out`,
  };
}

function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf("\n"); at >= 0 && at < offset; at = text.indexOf("\n", at + 1))
    line += 1;
  return line;
}
