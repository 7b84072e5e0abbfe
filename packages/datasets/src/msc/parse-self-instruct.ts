import { createHash } from "node:crypto";
import type { Conversation, Dataset, Question, QuestionCategory } from "@memory-r1/spec";
import type { DatasetReading } from "../dataset-reading.ts";
import { describeValue } from "../files/faults.ts";
import { readJsonLines } from "../files/read-json-lines.ts";
import { unknownKeys } from "../unknown-keys.ts";
import {
  describeCounts,
  type DialogueCounts,
  type FactLists,
  noteUnknownKey,
  noteUnknownKeys,
  parseDialogues,
} from "./dialogues.ts";
import { type SelfInstructRow, selfInstructRowSchema, selfInstructSchema } from "./schema.ts";

/** The one category: MemGPT's task of deep memory retrieval. */
const category: QuestionCategory = {
  code: "dmr",
  names: { official: "deep memory retrieval" },
};

/**
 * MSC-Self-Instruct, the set of MemGPT's "deep memory retrieval": each line is a conversation of five sessions with a question
 * of Speaker B and the reply of Speaker A, in the first person, as gold. Ids are by line: `dmr-1`. Facts of a session are the lists
 * of `summary_speaker_1` and `summary_speaker_2` for it.
 * @param options.source the file's name for messages.
 */
export function readSelfInstruct(
  bytes: Uint8Array,
  options: { readonly name: string; readonly source: string },
): DatasetReading & { readonly dataset: Dataset } {
  const { name, source } = options;
  const { lines, faults: lineFaults } = readJsonLines(
    { file: source, bytes },
    selfInstructRowSchema,
  );
  const faults = [...lineFaults];
  if (lines.length === 0 && faults.length === 0) {
    const fix = "get the file again";
    faults.push({ file: source, field: "", value: "", problem: "holds no row", fix });
  }
  const notes = new Set<string>();
  const conversations: Conversation[] = [];
  const questions: Question[] = [];
  const allCounts: DialogueCounts[] = [];
  for (const { place, value: row } of lines) {
    const id = `dmr-${place.line}`;
    const unknown = [
      ...unknownKeys(row, selfInstructRowSchema),
      ...unknownKeys(row.self_instruct, selfInstructSchema),
    ];
    for (const note of [...unknown.map(noteUnknownKey), ...noteUnknownKeys(row)]) notes.add(note);
    const {
      conversation,
      counts,
      notes: dialogueNotes,
    } = parseDialogues({
      conversationId: id,
      previousDialogs: row.previous_dialogs,
      dialog: row.dialog,
      facts: parseFacts(row, (text) => notes.add(`${id}: ${text}`)),
    });
    allCounts.push(counts);
    for (const note of dialogueNotes) notes.add(`${id}: ${note}`);
    conversations.push(conversation);
    questions.push({
      id: `${id}/question`,
      conversationId: id,
      text: row.self_instruct.B,
      gold: row.self_instruct.A,
      category,
      evidenceTurnIds: [],
      answerable: true,
    });
  }
  for (const note of describeCounts(allCounts)) notes.add(note);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const dataset = { name, sha256, conversations, questions, splits: {}, notes: [...notes] };
  return { dataset, faults };
}

/** For each session the facts about both speakers, as far as the row has them in the described form. */
function parseFacts(row: SelfInstructRow, note: (text: string) => void): FactLists[] {
  const sessions = row.previous_dialogs.length + 1;
  const first = parseSummaries(row.summary_speaker_1, "summary_speaker_1", sessions, note);
  const second = parseSummaries(row.summary_speaker_2, "summary_speaker_2", sessions, note);
  return Array.from({ length: sessions }, (_, index) => [first[index] ?? [], second[index] ?? []]);
}

/** A list of facts for each session; whatever is none is noted. */
function parseSummaries(
  value: unknown,
  key: string,
  sessions: number,
  note: (text: string) => void,
): string[][] {
  const reject = (place: string, found: unknown, what: string): void =>
    note(`${place} is no ${what} and is not read: ${describeValue(found) || "missing"}`);
  if (!Array.isArray(value)) {
    reject(key, value, "list of lists of facts");
    return [];
  }
  return value.map((list: unknown, session): string[] => {
    const place = `${key}.${session}`;
    if (session >= sessions || !Array.isArray(list)) {
      reject(
        place,
        list,
        session < sessions ? "list of facts" : "list for a session that there is",
      );
      return [];
    }
    return list.flatMap((fact: unknown, index): string[] => {
      if (typeof fact === "string") return [fact];
      reject(`${place}.${index}`, fact, "text");
      return [];
    });
  });
}
