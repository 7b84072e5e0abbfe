import { createHash } from "node:crypto";
import { basename } from "node:path";
import type { Conversation, SplitPartName } from "@memory-r1/spec";
import type { DatasetFault } from "../dataset-definition.ts";
import type { DatasetReading } from "../dataset-reading.ts";
import { readJsonLines } from "../files/read-json-lines.ts";
import { unknownKeys } from "../unknown-keys.ts";
import {
  describeCounts,
  type DialogueCounts,
  noteUnknownKey,
  noteUnknownKeys,
  parseDialogues,
} from "./dialogues.ts";
import { metadataSchema, mscRowSchema } from "./schema.ts";

/** ParlAI's names of the parts. */
export const mscParts = {
  train: "train",
  valid: "validation",
  test: "test",
} as const satisfies Readonly<Record<string, SplitPartName>>;
export type MscPart = keyof typeof mscParts;

/** A file of ParlAI's MSC. */
export interface MscFile {
  /** For messages, and for the checksum's order. */
  readonly path: string;
  /** The last session of its rows: 2 to 5. */
  readonly session: number;
  readonly part: MscPart;
  readonly bytes: Uint8Array;
}

/**
 * Conversations of Multi-Session Chat, one for each row: sessions 1 to k-1 from `previous_dialogs`, session k from `dialog`. There are
 * no questions. The facts of an earlier session are its `personas`: what each speaker told in it; the last session has none
 * yet. A row of session 3 begins with the sessions that a row of session 2 has, under another conversation id.
 * @param files in any order; the data set is the same for all orders.
 */
export function readMsc(name: string, files: readonly MscFile[]): DatasetReading {
  const sorted = files.toSorted((one, other) => {
    const [first, second] = [stemOf(one), stemOf(other)];
    return first < second ? -1 : first > second ? 1 : 0;
  });
  const hash = createHash("sha256");
  const faults: DatasetFault[] = [];
  const notes: string[] = [
    "personas of the last session and init_personas are not read: the first are those of earlier sessions, reworded",
  ];
  const conversations: Conversation[] = [];
  const split: Record<SplitPartName, string[]> = { train: [], validation: [], test: [] };
  for (const file of sorted) {
    hash.update(file.bytes);
    const reading = readRows(file);
    faults.push(...reading.faults);
    notes.push(...reading.notes);
    conversations.push(...reading.conversations);
    split[mscParts[file.part]].push(...reading.conversations.map(({ id }) => id));
  }
  const dataset = {
    name,
    sha256: hash.digest("hex"),
    conversations,
    questions: [],
    splits: { parlai: split },
    notes,
  };
  return { dataset, faults };
}

/** `session_3_valid`, the beginning of the conversations' ids. */
function stemOf({ session, part }: MscFile): string {
  return `session_${session}_${part}`;
}

interface FileReading {
  readonly conversations: readonly Conversation[];
  readonly faults: readonly DatasetFault[];
  readonly notes: readonly string[];
}

function readRows(file: MscFile): FileReading {
  const { lines, faults: lineFaults } = readJsonLines(
    { file: file.path, bytes: file.bytes },
    mscRowSchema,
  );
  const faults = [...lineFaults];
  if (lines.length === 0 && faults.length === 0) {
    faults.push({
      file: file.path,
      field: "",
      value: "",
      problem: "holds no row",
      fix: "get the file again",
    });
  }
  const stem = stemOf(file);
  const notes = new Set<string>();
  const firstLines = new Map<string, number>();
  const allCounts: DialogueCounts[] = [];
  const conversations: Conversation[] = [];
  for (const { place, value: row } of lines) {
    const { initial_data_id: rowId, session_id: sessionId } = row.metadata;
    const first = firstLines.get(rowId);
    if (first !== undefined) {
      faults.push({
        ...place,
        field: "metadata.initial_data_id",
        value: JSON.stringify(rowId),
        problem: `is the id of line ${first} as well`,
        fix: "remove one of the two lines, or get the file again",
      });
      continue;
    }
    firstLines.set(rowId, place.line);
    if (sessionId !== file.session - 1) {
      notes.add(`${stem}: ${rowId} is a row of session ${sessionId + 1}`);
    }
    const {
      conversation,
      counts,
      notes: dialogueNotes,
    } = parseDialogues({
      conversationId: `${stem}/${rowId}`,
      previousDialogs: row.previous_dialogs,
      dialog: row.dialog,
      facts: row.previous_dialogs.map(({ personas }) => personas),
    });
    allCounts.push(counts);
    for (const note of dialogueNotes) notes.add(`${conversation.id}: ${note}`);
    const unknown = [
      ...unknownKeys(row, mscRowSchema),
      ...unknownKeys(row.metadata, metadataSchema),
    ];
    for (const note of [...unknown.map(noteUnknownKey), ...noteUnknownKeys(row)]) {
      notes.add(`${stem}: ${note}`);
    }
    conversations.push(conversation);
  }
  for (const note of describeCounts(allCounts)) notes.add(`${stem}: ${note}`);
  return { conversations, faults, notes: [...notes] };
}

/** Session and part of a file's name in ParlAI's forms; undefined for other files. */
export function parseMscFileName(path: string): Pick<MscFile, "session" | "part"> | undefined {
  const name = basename(path);
  const match =
    /^session_(\d+)_(train|valid|test)\.txt$/.exec(name) ??
    /(?:^|[\\/])session_(\d+)[\\/](train|valid|test)\.txt$/.exec(path);
  if (match === null) return undefined;
  const part = match[2];
  if (part !== "train" && part !== "valid" && part !== "test") return undefined;
  return { session: Number(match[1]), part };
}
