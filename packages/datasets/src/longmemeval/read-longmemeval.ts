import { Buffer, isAscii, isUtf8 } from "node:buffer";
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { ConfigError, type Dataset, DataFormatError, parseJson } from "@memory-r1/spec";
import { z } from "zod";
import type { DatasetFault, DatasetFile, DatasetPart } from "../dataset-definition.ts";
import { faultError, faultsOfIssues } from "../files/faults.ts";
import { type JsonReading, readJson } from "../files/read-json.ts";
import { getOfficial, releaseFault, requireRelease } from "../files/release.ts";
import { JsonArrayError, type RawRecord, splitJsonArray } from "../files/split-json-array.ts";
import { parseLongMemEvalRecord } from "./parse-record.ts";
import { longMemEvalRecordSchema } from "./schema.ts";

/** A file in LongMemEval's schema. */
export interface LongMemEvalSource {
  readonly file: string;
  /** The release that the file must be; absent: any file in the schema. */
  readonly release?: DatasetFile;
}

/** What is known of a file when it has been read to its end. */
export interface LongMemEvalSummary {
  /** Of all its bytes, in lower-case hex. */
  readonly sha256: string;
  readonly records: number;
}

/** What a record came to. */
type RecordReading =
  | { readonly status: "read"; readonly part: Required<DatasetPart> }
  | { readonly status: "faulty"; readonly faults: readonly [DatasetFault, ...DatasetFault[]] };

/** Large pieces: the scan and the checksum work on each as a whole. */
const pieceBytes = 2 ** 20;

/**
 * The records of a file one at a time in its order, whatever its size: one record is held in memory. The checksum is taken
 * of the bytes as they are read, so that a file of another checksum is told at its end; one of another size at once.
 * @returns at the end of the file, its checksum
 * @throws ConfigError where the file cannot be read; DataFormatError, with the record's position and byte, at the first
 * fault; DataIntegrityError where it is not the release that was asked for.
 */
export async function* readLongMemEval(
  source: LongMemEvalSource,
): AsyncGenerator<Required<DatasetPart>, LongMemEvalSummary, undefined> {
  const { file, release } = source;
  const sizeBytes = await sizeOf(file);
  if (release?.sizeBytes !== undefined && sizeBytes !== release.sizeBytes) {
    throw new DataFormatError({
      source: file,
      path: "",
      problem:
        sizeBytes < release.sizeBytes
          ? `the file is cut off or another one (${sizeBytes} of ${release.sizeBytes} bytes)`
          : `the file is another one (${sizeBytes} instead of ${release.sizeBytes} bytes)`,
      fix: getOfficial(release),
    });
  }
  const hash = createHash("sha256");
  let records = 0;
  for await (const reading of readRecords(file, hash, parseQuickly)) {
    if (reading.status === "faulty") throw faultError(reading.faults);
    records += 1;
    yield reading.part;
  }
  const sha256 = hash.digest("hex");
  if (release !== undefined) requireRelease({ file, sha256, sizeBytes }, release);
  return { sha256, records };
}

/** The whole file in memory. @throws as readLongMemEval */
export async function loadLongMemEval(
  source: LongMemEvalSource & { readonly name: string },
): Promise<Dataset> {
  const parts: Required<DatasetPart>[] = [];
  const reading = readLongMemEval(source);
  for (;;) {
    const next = await reading.next();
    if (next.done !== true) {
      parts.push(next.value);
      continue;
    }
    return {
      name: source.name,
      sha256: next.value.sha256,
      conversations: parts.map(({ conversation }) => conversation),
      questions: parts.flatMap(({ questions }) => questions),
      // For evaluation only: no question is there to train on.
      splits: {},
      // Some notes are about every record.
      notes: [...new Set(parts.flatMap(({ notes }) => notes))],
    };
  }
}

/** Every fault of a file: of each record, of the list, and the checksum. @throws ConfigError where it cannot be read */
export async function verifyLongMemEval({
  file,
  release,
}: LongMemEvalSource): Promise<readonly DatasetFault[]> {
  const faults: DatasetFault[] = [];
  const hash = createHash("sha256");
  try {
    for await (const reading of readRecords(file, hash, readJson)) {
      if (reading.status === "faulty") faults.push(...reading.faults);
    }
  } catch (error) {
    if (!(error instanceof JsonArrayError)) throw error;
    const { recordIndex, byteOffset, problem, fix } = error;
    // What comes after it was not read, so there is no checksum.
    return [
      ...faults,
      {
        file,
        field: String(recordIndex),
        value: "",
        problem: `${problem} (at byte ${byteOffset}; nothing after it could be read)`,
        fix,
      },
    ];
  }
  if (release === undefined) return faults;
  const found = { file, sha256: hash.digest("hex"), sizeBytes: await sizeOf(file) };
  const wrongFile = releaseFault(found, release);
  return wrongFile === undefined ? faults : [wrongFile, ...faults];
}

/** All records, faulty ones included. @throws ConfigError or JsonArrayError */
async function* readRecords(
  file: string,
  hash: Hash,
  parse: typeof readJson,
): AsyncGenerator<RecordReading> {
  /** Question id to the record that has it. */
  const indices = new Map<string, number>();
  for await (const raw of splitJsonArray(hashedBytes(file, hash), { source: file })) {
    yield readRecord(raw, parse(raw.bytes, { file }), indices, file);
  }
}

const anything = z.unknown();

/**
 * As readJson, without the search for what JSON.parse passes over, which takes as long as all the rest: that is done once
 * by `verify`, and the checksum tells whether a file is the one that was looked through.
 */
function parseQuickly(bytes: Uint8Array, place: { readonly file: string }): JsonReading {
  if (!isUtf8(bytes)) return readJson(bytes, place);
  // Python writes ASCII, which is copied instead of decoded.
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(
    isAscii(bytes) ? "latin1" : "utf8",
  );
  try {
    return { status: "read", value: parseJson(text, anything, place.file) };
  } catch (error) {
    if (error instanceof DataFormatError) return readJson(bytes, place);
    throw error;
  }
}

async function* hashedBytes(file: string, hash: Hash): AsyncGenerator<Uint8Array> {
  try {
    for await (const bytes of createReadStream(file, { highWaterMark: pieceBytes })) {
      if (!(bytes instanceof Uint8Array)) throw new TypeError("a stream of a file gives bytes");
      hash.update(bytes);
      yield bytes;
    }
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

function readRecord(
  { index, byteOffset }: RawRecord,
  json: JsonReading,
  indices: Map<string, number>,
  file: string,
): RecordReading {
  const faulty = (found: readonly DatasetFault[]): RecordReading => {
    const [first, ...more] = found.map(({ field, value, problem, fix }) => ({
      file,
      field: field === "" ? String(index) : field,
      value,
      problem: `${problem} (in the record at byte ${byteOffset})`,
      fix,
    }));
    if (first === undefined) throw new RangeError("a faulty record has a fault");
    return { status: "faulty", faults: [first, ...more] };
  };
  if (json.status === "faulty") {
    return faulty(
      json.faults.map((fault) => ({
        ...fault,
        field: fault.field === "" ? "" : `${index}.${fault.field}`,
      })),
    );
  }
  const result = longMemEvalRecordSchema.safeParse(json.value);
  if (!result.success) {
    return faulty(
      faultsOfIssues({
        issues: result.error.issues,
        value: json.value,
        schema: longMemEvalRecordSchema,
        place: { file },
        path: [index],
      }),
    );
  }
  const { question_id: id } = result.data;
  const other = indices.get(id);
  if (other !== undefined) {
    return faulty([
      {
        file,
        field: `${index}.question_id`,
        value: JSON.stringify(id),
        problem: `is the id of record ${other} as well`,
        fix: "give every question its own id: judges tell questions by it",
      },
    ]);
  }
  indices.set(id, index);
  return { status: "read", part: parseLongMemEvalRecord(result.data, index) };
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

function unreadable(file: string, cause: unknown): ConfigError {
  return new ConfigError(
    `${file} cannot be read: ${String(cause)}. Check the path and its permissions.`,
    cause,
  );
}
