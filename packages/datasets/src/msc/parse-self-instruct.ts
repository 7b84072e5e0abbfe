import { createHash } from "node:crypto";
import type { Conversation, Dataset, Question, QuestionCategory } from "@memory-r1/spec";
import type { DatasetReading } from "../dataset-reading.ts";
import { readJsonLines } from "../files/read-json-lines.ts";
import { unknownKeys } from "../unknown-keys.ts";
import {
  describeCounts,
  type DialogueCounts,
  type FactLists,
  mscSpeakers,
  parseDialogues,
} from "./dialogues.ts";
import { type SelfInstructRow, selfInstructRowSchema, summariesSchema } from "./schema.ts";

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
    faults.push({ file: source, field: "", value: "", problem: "the file is empty", fix });
  }
  const notes = new Set<string>();
  const conversations: Conversation[] = [];
  const questions: Question[] = [];
  const allCounts: DialogueCounts[] = [];
  for (const { place, value: row } of lines) {
    const id = `dmr-${place.line}`;
    for (const key of unknownKeys(row, selfInstructRowSchema)) {
      notes.add(`unknown key "${key}" is not read`);
    }
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
  const [first, second] = mscSpeakers.map((speaker, index): readonly (readonly string[])[] => {
    const key = index === 0 ? "summary_speaker_1" : "summary_speaker_2";
    const result = summariesSchema.safeParse(row[key]);
    if (!result.success) {
      note(`${key} is no list of lists of facts: there are no facts about ${speaker}`);
      return [];
    }
    const lists = result.data;
    if (lists.length > sessions) {
      note(
        `${key} has facts of ${lists.length} sessions, and there are ${sessions}: those beyond are not read`,
      );
    }
    return lists;
  });
  return Array.from({ length: sessions }, (_, index) => [
    first?.[index] ?? [],
    second?.[index] ?? [],
  ]);
}
