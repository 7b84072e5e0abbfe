import type { JournalRecord, MemoryEntry } from "@memory-r1/spec";
import { createMemoryBank } from "../bank/memory-bank.ts";

/**
 * A bank's history as text for people: each operation with its date and turns, and below it the bank as it then is. A
 * memory that an operation changed has `~` before it, a new one `+`, one that it removed `-`.
 * @throws MemoryOperationError where the journal is not whole.
 */
export function drawHistory(journal: readonly JournalRecord[]): string {
  const bank = createMemoryBank();
  const blocks = journal.map((record) => {
    const before = bank.entries();
    const { createdId } = bank.apply(record.operation, record.source);
    return [headline(record), ...drawBank(before, bank.entries(), createdId)].join("\n");
  });
  return blocks.length === 0 ? "(nothing happened yet)" : blocks.join("\n\n");
}

/** One line for each memory: `0  Ana, 1 May 2024: has a cat`. */
export function drawEntries(entries: readonly MemoryEntry[]): string {
  return entries.length === 0 ? "(no memories)" : entries.map(drawEntry).join("\n");
}

function headline({ operation, source, createdId }: JournalRecord): string {
  const target =
    operation.kind === "UPDATE" || operation.kind === "DELETE" ? operation.id : (createdId ?? "");
  const turns =
    source.sourceTurnIds.length === 0 ? "" : `, turn ${source.sourceTurnIds.join(", ")}`;
  return `${operation.kind}${target === "" ? "" : ` ${target}`}  (${source.date}${turns})`;
}

function drawBank(
  before: readonly MemoryEntry[],
  after: readonly MemoryEntry[],
  createdId: string | undefined,
): readonly string[] {
  const known = new Map(before.map((entry) => [entry.id, entry]));
  const left = new Set(after.map(({ id }) => id));
  const removed = before
    .filter(({ id }) => !left.has(id))
    .map((entry) => `  - ${drawEntry(entry)}`);
  const lines = after.map((entry) => {
    const changed = known.get(entry.id) !== entry && entry.id !== createdId;
    const sign = entry.id === createdId ? "+" : changed ? "~" : " ";
    return `  ${sign} ${drawEntry(entry)}`;
  });
  return after.length === 0 ? [...removed, "    (no memories)"] : [...removed, ...lines];
}

const drawEntry = ({ id, participant, updatedAt, text }: MemoryEntry): string =>
  `${id}  ${participant}, ${updatedAt}: ${text.replaceAll(/\s*[\r\n]+\s*/g, " ")}`;
