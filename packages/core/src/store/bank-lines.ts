import { isDeepStrictEqual } from "node:util";
import { DataFormatError, MemoryOperationError, parseJson } from "@memory-r1/spec";
import { z } from "zod";
import { createMemoryBank, type MemoryBank } from "../bank/memory-bank.ts";
import { applyTimed, storedRecordSchema } from "./batch.ts";
import type { EntryVectors, MemoryStore, StoredRecord } from "./memory-store.ts";
import { vectorFromBytes, vectorToBytes } from "./vector-bytes.ts";

const currentFormat = 1;
/** Operations of one batch of an import: a bank with no more than these is imported as a whole or not at all. */
const batchSize = 5000;

const lineSchema = z.discriminatedUnion("line", [
  z.strictObject({ line: z.literal("banks"), format: z.int().positive() }),
  z.strictObject({
    line: z.literal("bank"),
    id: z.string(),
    /** How many lines of each kind follow, so that a file that was cut off is known as such. */
    records: z.int().nonnegative(),
    vectors: z.int().nonnegative(),
  }),
  z.strictObject({ line: z.literal("record"), record: storedRecordSchema }),
  // float32, little-endian, as base64.
  z.strictObject({ line: z.literal("vector"), id: z.string(), float32: z.base64() }),
]);
type Line = z.infer<typeof lineSchema>;
type BankLine = Extract<Line, { line: "bank" }>;

/**
 * Banks as lines of JSON, each ended, streamed: the journal, from which entries follow, and the vectors. The same banks
 * give the same bytes from every adapter. Default: all banks, in the order of `store.banks()`.
 */
export async function* exportBanks(
  store: MemoryStore,
  bankIds?: readonly string[],
): AsyncIterable<string> {
  yield lineOf({ line: "banks", format: currentFormat });
  for (const id of bankIds ?? (await store.banks())) {
    const { version, vectors } = await store.vectors(id);
    yield lineOf({ line: "bank", id, records: version, vectors: vectors.size });
    for await (const record of store.journal(id, { to: version })) {
      yield lineOf({ line: "record", record });
    }
    for (const [entryId, vector] of vectors) {
      yield lineOf({
        line: "vector",
        id: entryId,
        float32: Buffer.from(vectorToBytes(vector)).toString("base64"),
      });
    }
  }
}

/** What an import did; what the store held already is not counted. */
export interface ImportedBanks {
  readonly banks: number;
  readonly records: number;
  readonly vectors: number;
}

/**
 * Reads lines that exportBanks wrote (with or without their line ends) into a store. Every operation is applied again and
 * must give what its record says. A bank that the store holds already must begin with the same operations; it goes on
 * from there, so that an import that was interrupted is finished by importing again.
 * `source` names the lines in errors. @throws DataFormatError naming the line; complete batches before it stay imported.
 */
export async function importBanks(
  store: MemoryStore,
  lines: AsyncIterable<string> | Iterable<string>,
  source: string,
): Promise<ImportedBanks> {
  const total = { banks: 0, records: 0, vectors: 0 };
  let current: BankImport | undefined;
  let isBegun = false;
  let lineNumber = 0;
  const problemHere = (problem: string, fix: string): DataFormatError =>
    new DataFormatError({ source, path: `line ${lineNumber}`, problem, fix });
  const finish = async (): Promise<void> => {
    const imported = await current?.finish(problemHere);
    total.banks += current === undefined ? 0 : 1;
    total.records += imported?.records ?? 0;
    total.vectors += imported?.vectors ?? 0;
  };
  for await (const text of lines) {
    lineNumber += 1;
    if (text.trim() === "") continue;
    const line = parseJson(text, lineSchema, `${source}, line ${lineNumber}`);
    if (!isBegun && line.line !== "banks") {
      throw problemHere(
        "the first line does not say what file this is",
        "give the whole file of an export",
      );
    }
    switch (line.line) {
      case "banks":
        isBegun = true;
        if (line.format > currentFormat) {
          throw problemHere(
            `the file has format ${line.format}, this version reads up to ${currentFormat}`,
            "import it with the version that exported it, or a newer one",
          );
        }
        break;
      case "bank":
        await finish();
        current = await beginBank(store, line);
        break;
      case "record":
      case "vector":
        if (current === undefined) {
          throw problemHere(`a ${line.line} before any bank`, "give the whole file of an export");
        }
        if (line.line === "record") await current.record(line.record, problemHere);
        else current.vector(line.id, line.float32, problemHere);
        break;
    }
  }
  await finish();
  return total;
}

type ProblemHere = (problem: string, fix: string) => DataFormatError;

interface BankImport {
  record(record: StoredRecord, problemHere: ProblemHere): Promise<void>;
  vector(id: string, float32: string, problemHere: ProblemHere): void;
  finish(problemHere: ProblemHere): Promise<{ readonly records: number; readonly vectors: number }>;
}

async function beginBank(
  store: MemoryStore,
  { id, records, vectors }: BankLine,
): Promise<BankImport> {
  const { version: storedVersion } = await store.read(id);
  const stored = store.journal(id, { to: storedVersion })[Symbol.asyncIterator]();
  const bank = createMemoryBank();
  const readVectors = new Map<string, Float32Array>();
  let pending: StoredRecord[] = [];
  let version = storedVersion;
  let position = 0;
  const flush = async (newVectors: EntryVectors): Promise<void> => {
    const operations = pending.map(({ operation, source, at }) => ({ operation, source, at }));
    await store.append(id, { expectedVersion: version, operations, vectors: newVectors });
    version += pending.length;
    pending = [];
  };
  return {
    record: async (record, problemHere) => {
      if (record.index !== position) {
        throw problemHere(
          `record ${record.index} stands where record ${position} of bank "${id}" is expected`,
          "give every record of the bank once and in order",
        );
      }
      const replayed = replayRecord(bank, record, problemHere);
      if (!isDeepStrictEqual(replayed, record)) {
        throw problemHere(
          `replaying the operation gives ${JSON.stringify(replayed)}, which is not what the record says`,
          "import the file as it was exported",
        );
      }
      position += 1;
      if (record.index >= storedVersion) {
        pending.push(record);
        if (pending.length >= batchSize) await flush(new Map());
        return;
      }
      const known = await stored.next();
      if (known.done === true || !isDeepStrictEqual(known.value, record)) {
        throw problemHere(
          `bank "${id}" of the store has another operation at this place`,
          "import into an empty store, or remove the bank first",
        );
      }
    },
    vector: (entryId, float32, problemHere) => {
      const vector = vectorFromBytes(Buffer.from(float32, "base64"));
      if (vector === undefined || readVectors.has(entryId) || bank.get(entryId) === undefined) {
        throw problemHere(
          `the vector of memory "${entryId}" has no whole number of floats, comes twice, or its memory is not in the bank`,
          "import the file as it was exported",
        );
      }
      readVectors.set(entryId, vector);
    },
    finish: async (problemHere) => {
      if (position !== records || readVectors.size !== vectors) {
        throw problemHere(
          `bank "${id}" ends with ${position} of ${records} records and ${readVectors.size} of ${vectors} vectors`,
          "the file is cut off: export again, or import the whole file",
        );
      }
      // A store that is ahead of the file has newer vectors, too.
      if (storedVersion > records) return { records: 0, vectors: 0 };
      await flush(readVectors);
      return { records: records - storedVersion, vectors };
    },
  };
}

function replayRecord(
  bank: MemoryBank,
  record: StoredRecord,
  problemHere: ProblemHere,
): StoredRecord {
  try {
    return applyTimed(bank, record);
  } catch (error) {
    if (!(error instanceof MemoryOperationError)) throw error;
    throw problemHere(error.message, "import the file as it was exported");
  }
}

function lineOf(line: Line): string {
  return `${JSON.stringify(line)}\n`;
}
