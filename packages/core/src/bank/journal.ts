import { DataFormatError, type JournalRecord, parseJson } from "@memory-r1/spec";
import { z } from "zod";
import { createMemoryBank, type MemoryBank } from "./memory-bank.ts";

const operationSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("ADD"), text: z.string() }),
  z.strictObject({ kind: z.literal("UPDATE"), id: z.string(), text: z.string() }),
  z.strictObject({ kind: z.literal("DELETE"), id: z.string() }),
  z.strictObject({ kind: z.literal("NOOP") }),
]);

export const imagesSchema = z.array(
  z.strictObject({ url: z.string().exactOptional(), caption: z.string().exactOptional() }),
);

export const journalRecordShape = {
  index: z.int().nonnegative(),
  operation: operationSchema,
  source: z.strictObject({
    actor: z.string(),
    participant: z.string(),
    sourceTurnIds: z.array(z.string()),
    date: z.string(),
    images: imagesSchema.exactOptional(),
  }),
  createdId: z.string().exactOptional(),
};

const journalRecordSchema: z.ZodType<JournalRecord> = z.strictObject(journalRecordShape);

/** One JSON object per line, each line ended. An empty journal is the empty text. */
export function serializeJournal(journal: readonly JournalRecord[]): string {
  return journal.map((record) => `${JSON.stringify(record)}\n`).join("");
}

/** Reads what serializeJournal wrote. @throws DataFormatError naming the line. */
export function parseJournal(text: string, source: string): readonly JournalRecord[] {
  return text
    .split("\n")
    .flatMap((line, index) =>
      line.trim() === ""
        ? []
        : [parseJson(line, journalRecordSchema, `${source}, line ${index + 1}`)],
    );
}

/**
 * The bank after the first `upTo` records (default: all of them) of a journal.
 * @throws DataFormatError where records are missing or out of order; MemoryOperationError where one cannot be applied.
 */
export function replayJournal(
  journal: readonly JournalRecord[],
  upTo = journal.length,
): MemoryBank {
  const bank = createMemoryBank();
  for (const [position, record] of journal.slice(0, upTo).entries()) {
    if (record.index !== position) {
      throw corruptJournal(position, `the record's index is ${record.index}, expected ${position}`);
    }
    const { createdId } = bank.apply(record.operation, record.source);
    if (createdId !== record.createdId) {
      throw corruptJournal(
        position,
        `the record made memory ${record.createdId ?? "(none)"}, replaying it made ${createdId ?? "(none)"}`,
      );
    }
  }
  return bank;
}

function corruptJournal(position: number, problem: string): DataFormatError {
  return new DataFormatError({
    source: "memory journal",
    path: `record ${position}`,
    problem,
    fix: "replay the whole journal of one bank, from its first record, in order",
  });
}
