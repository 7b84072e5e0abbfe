import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { ConfigError, type Dataset, DataFormatError } from "@memory-r1/spec";
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
  /**
   * False: without the search for what JSON.parse passes over (see readJson), which takes as long as all the rest. For files
   * that a checksum tells from any other.
   */
  readonly findFlaws?: boolean;
  /** Gives the bytes of the file; default: from the disk. */
  readonly open?: (file: string) => AsyncIterable<Uint8Array>;
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
  if (release?.sizeBytes !== undefined) {
    const sizeBytes = await sizeOf(file);
    if (sizeBytes !== release.sizeBytes)
      throw wrongSize(file, sizeBytes, release.sizeBytes, release);
  }
  const tally = createTally();
  let records = 0;
  for await (const reading of readRecords(source, tally)) {
    if (reading.status === "faulty") throw faultError(reading.faults);
    records += 1;
    yield reading.part;
  }
  const found = { file, ...tally.result() };
  if (release !== undefined) requireRelease(found, release);
  return { sha256: found.sha256, records };
}

function wrongSize(
  file: string,
  found: number,
  expected: number,
  release: DatasetFile,
): DataFormatError {
  const problem =
    found < expected
      ? `the file is cut off or another one (${found} of ${expected} bytes)`
      : `the file is another one (${found} instead of ${expected} bytes)`;
  return new DataFormatError({ source: file, path: "", problem, fix: getOfficial(release) });
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
export async function verifyLongMemEval(
  source: Omit<LongMemEvalSource, "findFlaws">,
): Promise<readonly DatasetFault[]> {
  const { file, release } = source;
  const faults: DatasetFault[] = [];
  const tally = createTally();
  try {
    for await (const reading of readRecords({ ...source, findFlaws: true }, tally)) {
      if (reading.status === "faulty") faults.push(...reading.faults);
    }
  } catch (error) {
    if (!(error instanceof JsonArrayError)) throw error;
    const { recordIndex, problem, fix } = error;
    // There is no checksum either.
    const unread = `${problem}; nothing after it could be read`;
    return [...faults, { file, field: String(recordIndex), value: "", problem: unread, fix }];
  }
  if (release === undefined) return faults;
  const found = { file, ...tally.result() };
  const wrongFile = releaseFault(found, release);
  return wrongFile === undefined ? faults : [wrongFile, ...faults];
}

/** Takes the measure of bytes while they are read. */
interface Tally {
  add(bytes: Uint8Array): void;
  /** Of all bytes; may be asked once. */
  result(): { readonly sha256: string; readonly sizeBytes: number };
}

function createTally(): Tally {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  return {
    add: (bytes) => {
      hash.update(bytes);
      sizeBytes += bytes.length;
    },
    result: () => ({ sha256: hash.digest("hex"), sizeBytes }),
  };
}

/** All records, faulty ones included. @throws ConfigError or JsonArrayError */
async function* readRecords(
  { file, findFlaws = true, open = openFile }: LongMemEvalSource,
  tally: Tally,
): AsyncGenerator<RecordReading> {
  /** Question id to the record that has it. */
  const indices = new Map<string, number>();
  const chunks = tallied(open(file), tally);
  for await (const raw of splitJsonArray(chunks, { source: file })) {
    yield readRecord(raw, readJson(raw.bytes, { file }, { findFlaws }), indices, file);
  }
}

async function* openFile(file: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const bytes of createReadStream(file, { highWaterMark: pieceBytes })) {
      if (!(bytes instanceof Uint8Array)) throw new TypeError("a stream of a file gives bytes");
      yield bytes;
    }
  } catch (cause) {
    throw unreadable(file, cause);
  }
}

async function* tallied(
  chunks: AsyncIterable<Uint8Array>,
  tally: Tally,
): AsyncGenerator<Uint8Array> {
  for await (const bytes of chunks) {
    tally.add(bytes);
    yield bytes;
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
