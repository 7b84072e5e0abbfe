import type { Conversation, ExtractedFact, Session, Turn } from "@memory-r1/spec";
import { unknownKeys } from "../unknown-keys.ts";
import {
  type PreviousDialog,
  previousDialogSchema,
  previousTurnSchema,
  type SaidTurn,
  saidTurnSchema,
} from "./schema.ts";
import { currentSessionDateText, gapHours, parseTimeBack } from "./time-back.ts";

/** In the order in which they speak: every session is begun by the first. */
const mscSpeakers = ["Speaker 1", "Speaker 2"] as const;

/** Facts of one session, Speaker 1's first. */
export type FactLists = readonly [readonly string[], readonly string[]];

/** How often something odd is in the turns of conversations. */
export interface DialogueCounts {
  /** Turns that have a worker's number instead of `Speaker 1`. */
  readonly workerTurns: number;
  /** Ratings of turns: `poor`, as far as is known. */
  readonly ratings: readonly string[];
  /** Sessions before the last with an odd number of turns. */
  readonly oddSessions: number;
}

/** The counts of many conversations in words, those above 0. */
export function describeCounts(all: readonly DialogueCounts[]): string[] {
  const sum = (countOf: (counts: DialogueCounts) => number): number =>
    all.reduce((total, counts) => total + countOf(counts), 0);
  const counted: [string, number][] = [
    [
      "turns with a worker's number for a speaker, read as Speaker 1",
      sum(({ workerTurns }) => workerTurns),
    ],
    ...[...new Set(all.flatMap(({ ratings }) => ratings))].map((rating): [string, number] => [
      `turns rated ${JSON.stringify(rating)}, kept`,
      sum(({ ratings }) => ratings.filter((one) => one === rating).length),
    ]),
    [
      "earlier sessions with an odd number of turns, after which Speaker 1 begins all the same",
      sum(({ oddSessions }) => oddSessions),
    ],
  ];
  return counted.flatMap(([what, count]) => (count === 0 ? [] : [`${what}: ${count}`]));
}

/** What is read of a session before the last. */
type EarlierDialog = Pick<PreviousDialog, "dialog" | "time_num" | "time_unit" | "time_back">;

/**
 * The sessions of a row in order of time. Turns of earlier sessions alternate and begin with Speaker 1, also after a session of
 * an odd number of turns: in ParlAI's files every last session says so itself, after an odd session too (26 rows of session 3,
 * valid and test).
 * @param options.facts of each session; a session beyond the list has none.
 */
export function parseDialogues(options: {
  readonly conversationId: string;
  readonly previousDialogs: readonly EarlierDialog[];
  readonly dialog: readonly SaidTurn[];
  readonly facts: readonly FactLists[];
}): {
  readonly conversation: Conversation;
  readonly counts: DialogueCounts;
  /** Whatever else is odd, in words. */
  readonly notes: readonly string[];
} {
  const { conversationId, previousDialogs, dialog } = options;
  const notes: string[] = [];
  const session = (index: number, dateText: string, turns: readonly Turn[]): Session => ({
    id: `session_${index + 1}`,
    dateText,
    turns,
    facts: factsOf(conversationId, index, options.facts[index] ?? [[], []]),
  });
  const previous = previousDialogs.map((one, index) => {
    const turns = one.dialog.map(({ text }, turnIndex) =>
      turnOf(index, turnIndex, speakerAt(turnIndex), text),
    );
    const doubt = doubtTime(one, previousDialogs.slice(index));
    if (doubt !== undefined) notes.push(`session_${index + 1}: ${doubt}`);
    // A text without days begins with a space.
    return session(index, one.time_back.trim(), turns);
  });
  const index = previousDialogs.length;
  const turns = dialog.map(({ id, text }, turnIndex) =>
    turnOf(index, turnIndex, id === mscSpeakers[1] ? id : mscSpeakers[0], text),
  );
  if (turns.some(({ speaker }, turnIndex) => speaker !== speakerAt(turnIndex))) {
    notes.push(
      `session_${index + 1}: the speakers do not alternate from Speaker 1 on; they are kept as the file has them`,
    );
  }
  const lastSession = session(index, currentSessionDateText, turns);
  return {
    conversation: {
      id: conversationId,
      participants: mscSpeakers,
      sessions: [...previous, lastSession],
    },
    counts: {
      workerTurns: dialog.filter(({ id }) => /^\d+$/.test(id)).length,
      ratings: dialog.flatMap(({ rating }) => (rating === undefined ? [] : [rating])),
      oddSessions: previousDialogs.filter((one) => one.dialog.length % 2 === 1).length,
    },
    notes,
  };
}

function speakerAt(turnIndex: number): string {
  return turnIndex % 2 === 0 ? mscSpeakers[0] : mscSpeakers[1];
}

function turnOf(sessionIndex: number, turnIndex: number, speaker: string, text: string): Turn {
  return { id: `D${sessionIndex + 1}:${turnIndex + 1}`, speaker, text };
}

function factsOf(conversationId: string, index: number, lists: FactLists): ExtractedFact[] {
  return mscSpeakers.flatMap((participant, speakerIndex) =>
    (lists[speakerIndex] ?? []).map((text, position) => ({
      id: `${conversationId}/session_${index + 1}/${participant}/${position}`,
      text,
      participant,
      // The files do not say which turns a fact is from.
      sourceTurnIds: [],
    })),
  );
}

/** What is odd in a session's time: it should be that of all the gaps up to the last session. */
function doubtTime(dialog: EarlierDialog, following: readonly EarlierDialog[]): string | undefined {
  const { time_back: timeBack, time_num: count, time_unit: unit } = dialog;
  if (gapHours(dialog) === undefined) return `the gap "${count} ${unit}" is not counted`;
  const hours = parseTimeBack(timeBack);
  if (hours === undefined) return `time_back "${timeBack}" is not read as a time`;
  const gaps = following.map(gapHours);
  // Said of the session that has the odd gap.
  if (gaps.includes(undefined)) return undefined;
  const sum = gaps.reduce<number>((total, gap) => total + (gap ?? 0), 0);
  return hours === sum
    ? undefined
    : `time_back "${timeBack}" is not the sum of the gaps (${sum} hours)`;
}

/** Notes on keys that are not read, of the parts that both formats have. */
export function noteUnknownKeys(row: {
  readonly dialog: readonly SaidTurn[];
  readonly previous_dialogs: readonly EarlierDialog[];
}): string[] {
  return [
    ...row.dialog.flatMap((turn) => unknownKeys(turn, saidTurnSchema)),
    ...row.previous_dialogs.flatMap((dialog) => [
      ...unknownKeys(dialog, previousDialogSchema),
      ...dialog.dialog.flatMap((turn) => unknownKeys(turn, previousTurnSchema)),
    ]),
  ].map(noteUnknownKey);
}

export function noteUnknownKey(key: string): string {
  return `unknown key "${key}" is not read`;
}
