import type { Question, Session } from "@memory-r1/spec";
import type { DatasetPart } from "../dataset-definition.ts";
import { unknownKeys } from "../unknown-keys.ts";
import { longMemEvalCategories } from "./categories.ts";
import { parseLongMemEvalDate } from "./dates.ts";
import {
  type LongMemEvalRecord,
  longMemEvalRecordSchema,
  longMemEvalTurnSchema,
} from "./schema.ts";

/** Ends the id of a question that asks for what was never said. */
const abstentionSuffix = "_abs";

/** A session of the history with what is known of it beside its turns. */
interface HaystackSession {
  readonly officialId: string;
  readonly dateText: string;
  readonly dateTime: string | undefined;
  readonly turns: LongMemEvalRecord["haystack_sessions"][number];
  /** In the file, from 1. */
  readonly filePosition: number;
}

/**
 * One record as a conversation of `user` and `assistant` with its question. What a system gets to see has neutral ids by
 * position (`longmemeval-12`, `session_3`, `D3:2`): session ids of the file say `answer`, and question ids `_abs`. The question
 * keeps its official id, for the files that judges read. Sessions come in order of time, which the oracle file's do not.
 * @param index the record's position in the file, from 0.
 */
export function parseLongMemEvalRecord(
  record: LongMemEvalRecord,
  index: number,
): Required<DatasetPart> {
  const notes = new Set<string>();
  const note = (text: string): void => void notes.add(`${record.question_id}: ${text}`);
  for (const key of unknownKeys(record, longMemEvalRecordSchema)) {
    notes.add(`unknown key "${key}" is not read`);
  }

  const sessions = inOrderOfTime(readSessions(record, note), note);
  const conversationId = `longmemeval-${index + 1}`;
  const evidenceTurnIds: string[] = [];
  const parsedSessions = sessions.map((session, sessionIndex): Session => {
    const id = `session_${sessionIndex + 1}`;
    if (session.turns.length === 0) note(`${id} (${session.officialId}) is empty`);
    const turns = session.turns.map((turn, turnIndex) => {
      const turnId = `D${sessionIndex + 1}:${turnIndex + 1}`;
      if (turn.has_answer === true) evidenceTurnIds.push(turnId);
      else if (turn.has_answer !== undefined && turn.has_answer !== false) {
        note(`${turnId}: has_answer is ${JSON.stringify(turn.has_answer)}, read as false`);
      }
      for (const key of unknownKeys(turn, longMemEvalTurnSchema)) {
        notes.add(`turns: unknown key "${key}" is not read`);
      }
      return { id: turnId, speaker: turn.role, text: turn.content };
    });
    const { dateText, dateTime } = session;
    return { id, dateText, ...(dateTime === undefined ? {} : { dateTime }), turns, facts: [] };
  });

  return {
    conversation: {
      id: conversationId,
      participants: ["user", "assistant"],
      sessions: parsedSessions,
    },
    questions: [
      {
        id: record.question_id,
        conversationId,
        text: record.question,
        ...readGold(record, note),
        category: longMemEvalCategories[record.question_type],
        evidenceTurnIds,
        evidenceSessionIds: findEvidenceSessions(record, sessions, note),
        answerable: !record.question_id.endsWith(abstentionSuffix),
        dateText: record.question_date,
        ...readDateTime(record.question_date, "question_date", note),
      },
    ],
    notes: [...notes],
  };
}

type Note = (text: string) => void;

function readSessions(record: LongMemEvalRecord, note: Note): HaystackSession[] {
  const firstPositions = new Map<string, number>();
  return record.haystack_sessions.map((turns, index): HaystackSession => {
    // The schema has made sure that there is one of each.
    const officialId = record.haystack_session_ids[index] ?? "";
    const dateText = record.haystack_dates[index] ?? "";
    const filePosition = index + 1;
    const first = firstPositions.get(officialId);
    if (first === undefined) firstPositions.set(officialId, filePosition);
    else {
      note(
        `sessions ${first} and ${filePosition} of the file have the same id ${officialId}: both are kept`,
      );
    }
    const { dateTime } = readDateTime(dateText, `session ${filePosition} of the file`, note);
    return { officialId, dateText, dateTime, turns, filePosition };
  });
}

function readDateTime(text: string, where: string, note: Note): { readonly dateTime?: string } {
  const date = parseLongMemEvalDate(text);
  if (date === undefined) {
    note(`${where}: date "${text}" is not "YYYY/MM/DD (Ddd) HH:MM"`);
    return {};
  }
  const { dateTime, actualWeekday } = date;
  if (actualWeekday !== undefined) {
    note(`${where}: date "${text}" was a ${actualWeekday}; the day of the month is taken`);
  }
  return { dateTime };
}

function inOrderOfTime(sessions: readonly HaystackSession[], note: Note): HaystackSession[] {
  if (sessions.some(({ dateTime }) => dateTime === undefined)) {
    note("not every session has a date that can be read: the file's order is kept");
    return [...sessions];
  }
  // Stable: sessions of the same minute stay in the file's order.
  const sorted = sessions.toSorted(({ dateTime: one = "" }, { dateTime: other = "" }) =>
    one < other ? -1 : one > other ? 1 : 0,
  );
  if (sorted.some(({ filePosition }, index) => filePosition !== index + 1)) {
    const positions = sorted.map(({ filePosition }) => filePosition).join(", ");
    note(`sessions were put in order of time; their positions in the file are ${positions}`);
  }
  return sorted;
}

function readGold(record: LongMemEvalRecord, note: Note): Pick<Question, "gold"> {
  const { answer } = record;
  if (typeof answer === "string") return { gold: answer };
  if (answer === undefined || answer === null) {
    note("no answer: ungraded");
    return {};
  }
  const kind = typeof answer === "object" ? "JSON structure" : typeof answer;
  note(`the answer is a ${kind}, read as text`);
  return { gold: JSON.stringify(answer) };
}

/** Ids of the sessions that `answer_session_ids` names, in order of time. */
function findEvidenceSessions(
  record: LongMemEvalRecord,
  sessions: readonly HaystackSession[],
  note: Note,
): string[] {
  const evidence = new Set(record.answer_session_ids);
  for (const id of evidence) {
    const count = sessions.filter(({ officialId }) => officialId === id).length;
    if (count === 0) note(`evidence session ${id} is not in the history`);
    if (count > 1) note(`evidence session ${id} stands ${count} times in the history`);
  }
  return sessions.flatMap(({ officialId }, index) =>
    evidence.has(officialId) ? [`session_${index + 1}`] : [],
  );
}
