import { Buffer } from "node:buffer";
import { DataFormatError } from "@memory-r1/spec";

/** One object of a top-level JSON list, as it stands in the file. */
export interface RawRecord {
  /** Position in the list, from 0. */
  readonly index: number;
  /** Of its first byte in the file, from 0. */
  readonly byteOffset: number;
  readonly bytes: Uint8Array;
}

/** The file is no list of objects, or ends too early: nothing after the place can be read. */
export class JsonArrayError extends DataFormatError {
  /** The record that is broken, or would come next. */
  readonly recordIndex: number;
  /** With the byte at which the record begins or, where there is none, the fault is. */
  readonly problem: string;
  readonly fix: string;
  constructor(options: {
    readonly source: string;
    readonly recordIndex: number;
    readonly byteOffset: number;
    readonly problem: string;
    readonly fix: string;
  }) {
    const problem = `${options.problem} (at byte ${options.byteOffset})`;
    super({ ...options, path: String(options.recordIndex), problem });
    this.recordIndex = options.recordIndex;
    this.problem = problem;
    this.fix = options.fix;
  }
}

/** LongMemEval M, the largest set here, has 5.5 MB for each record. */
const usualLimitBytes = 64 * 2 ** 20;

const getAgain = "get the file again";
const asList = "give a JSON list of objects: [{…}, {…}]";

const byteOrderMark = [0xef, 0xbb, 0xbf];
const [comma, quote, backslash] = [0x2c, 0x22, 0x5c];
const [openBrace, closeBrace, openBracket, closeBracket] = [0x7b, 0x7d, 0x5b, 0x5d];

const isSpace = (byte: number): boolean =>
  byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09;

/** What the next byte that is no white space may be; `record`: the scan stands inside an object of the list. */
type Place = "start" | "firstRecord" | "record" | "commaOrEnd" | "nextRecord" | "end";

/**
 * Cuts a file that is one JSON list of objects into its records without holding more than one of them: a list of 2.7 GB is
 * more than V8 lets one string be. It finds where each object begins and ends (by brackets outside strings) and leaves
 * what is in between to a JSON parser: six times as fast as parsers that take bytes in pieces, see
 * docs/decisions/0006-records-of-a-json-list.md. A byte order mark at the start is dropped.
 * @param options.mostRecordBytes the size at which a record counts as one whose end is missing; usual: 64 MiB.
 * @throws JsonArrayError, after the records that come before the fault
 */
export async function* splitJsonArray(
  chunks: AsyncIterable<Uint8Array>,
  options: { readonly source: string; readonly mostRecordBytes?: number },
): AsyncGenerator<RawRecord, void, undefined> {
  const { source, mostRecordBytes = usualLimitBytes } = options;
  let place: Place = "start";
  let recordIndex = 0;
  /** Of the first byte of the current chunk. */
  let chunkOffset = 0;
  // Of the record that the scan is in.
  let recordOffset = 0;
  let depth = 0;
  let isInString = false;
  let isEscaped = false;
  /** What earlier chunks hold of it. */
  let pieces: Uint8Array[] = [];

  const broken = (byteOffset: number, problem: string, fix: string): JsonArrayError =>
    new JsonArrayError({ source, recordIndex, byteOffset, problem, fix });

  for await (const bytes of chunks) {
    // A Buffer's indexOf is memchr, which makes the scan of long texts all but free.
    const chunk = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let position = 0;
    while (position < chunk.length) {
      if (place === "record") {
        const end = scanRecord(chunk, position);
        const piece = chunk.subarray(position, end);
        position = end;
        pieces.push(piece);
        if (depth > 0) {
          if (chunkOffset + position - recordOffset > mostRecordBytes) {
            throw broken(
              recordOffset,
              `has no end within ${mostRecordBytes} bytes: a bracket or a quotation mark in it is not closed`,
              "mend the record, or get the file again",
            );
          }
          continue;
        }
        const whole = pieces.length === 1 ? piece : Buffer.concat(pieces);
        pieces = [];
        yield { index: recordIndex, byteOffset: recordOffset, bytes: whole };
        recordIndex += 1;
        place = "commaOrEnd";
        continue;
      }
      const byte = chunk[position] ?? 0;
      const offset = chunkOffset + position;
      const isMark = place === "start" && offset < 3 && byte === byteOrderMark[offset];
      if (isSpace(byte) || isMark) {
        position += 1;
        continue;
      }
      place = enter(byte, offset);
      // An object is scanned from its own first byte on.
      if (place !== "record") position += 1;
    }
    chunkOffset += chunk.length;
  }
  if (place === "start") throw broken(0, "the file is empty", getAgain);
  if (place === "record") throw broken(recordOffset, "the file ends inside this record", getAgain);
  if (place !== "end") throw broken(chunkOffset, "the file ends before its list does", getAgain);

  /** Takes a byte between records. */
  function enter(byte: number, offset: number): Place {
    switch (place) {
      case "start":
        if (byte === openBracket) return "firstRecord";
        throw broken(offset, `the file is no JSON list: it begins with ${show(byte)}`, asList);
      case "firstRecord":
      case "nextRecord":
        if (byte === closeBracket && place === "firstRecord") return "end";
        if (byte === closeBracket) {
          throw broken(offset, "a comma stands before the end of the list", "remove the comma");
        }
        if (byte !== openBrace) {
          throw broken(offset, `is no object: it begins with ${show(byte)}`, asList);
        }
        recordOffset = offset;
        return "record";
      case "commaOrEnd":
        if (byte === comma) return "nextRecord";
        if (byte === closeBracket) return "end";
        throw broken(offset, `follows without a comma: ${show(byte)} stands there`, asList);
      default:
        throw broken(
          offset,
          `${show(byte)} stands after the end of the list`,
          "remove what follows the list, or get the file again",
        );
    }
  }

  /** Scans a record from `position` on, to behind its last byte or to the end of the chunk. */
  function scanRecord(chunk: Buffer, start: number): number {
    let position = start;
    while (position < chunk.length) {
      if (isInString) {
        if (isEscaped) {
          isEscaped = false;
          position += 1;
          continue;
        }
        const found = chunk.indexOf(quote, position);
        const end = found < 0 ? chunk.length : found;
        let backslashes = 0;
        while (end - 1 - backslashes >= position && chunk[end - 1 - backslashes] === backslash) {
          backslashes += 1;
        }
        // An odd number escapes what comes next, be it this quote or the first byte of the next chunk.
        const escapesNext = backslashes % 2 === 1;
        if (found < 0) isEscaped = escapesNext;
        else isInString = escapesNext;
        position = end + (found < 0 ? 0 : 1);
        continue;
      }
      const byte = chunk[position];
      position += 1;
      if (byte === quote) isInString = true;
      else if (byte === openBrace || byte === openBracket) depth += 1;
      else if (byte === closeBrace || byte === closeBracket) {
        depth -= 1;
        if (depth === 0) return position;
      }
    }
    return position;
  }
}

function show(byte: number): string {
  return byte > 0x20 && byte < 0x7f
    ? JSON.stringify(String.fromCharCode(byte))
    : `byte 0x${byte.toString(16).padStart(2, "0")}`;
}
