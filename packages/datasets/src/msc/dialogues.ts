import type { Conversation, ExtractedFact, Session, Turn } from "@memory-r1/spec";
import type { PreviousDialog, SaidTurn } from "./schema.ts";
import { currentSessionDateText, gapHours, parseTimeBack } from "./time-back.ts";

/** In the order in which they speak: every session is begun by the first. */
export const mscSpeakers = ["Speaker 1", "Speaker 2"] as const;

/** Facts of one session, Speaker 1's first. */
export type FactLists = readonly [readonly string[], readonly string[]];

/** How often something odd is in the turns of conversations. */
export interface DialogueCounts {
  /** Turns that have a worker's number instead of `Speaker 1`. */
  readonly workerTurns: number;
  readonly poorTurns: number;
  /** Sessions before the last with an odd number of turns. */
  readonly oddSessions: number;
}

/** The counts of many conversations in words, those above 0. */
export function describeCounts(all: readonly DialogueCounts[]): string[] {
  const sum = (key: keyof DialogueCounts): number =>
    all.reduce((total, counts) => total + counts[key], 0);
  const counted = [
    ["turns with a worker's number for a speaker, read as Speaker 1", sum("workerTurns")],
    ['turns rated "poor", kept', sum("poorTurns")],
    [
      "earlier sessions with an odd number of turns, after which Speaker 1 begins all the same",
      sum("oddSessions"),
    ],
  ] as const;
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
    if (!isSumOfGaps(one, previousDialogs.slice(index))) {
      notes.push(`session_${index + 1}: time_back "${one.time_back}" is not the sum of the gaps`);
    }
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
      poorTurns: dialog.filter(({ rating }) => rating === "poor").length,
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

/** Whether a time is that of all the gaps up to the last session. Times that cannot be counted in hours are let pass. */
function isSumOfGaps(
  { time_back: timeBack }: EarlierDialog,
  following: readonly EarlierDialog[],
): boolean {
  const hours = parseTimeBack(timeBack);
  const gaps = following.map(gapHours);
  if (hours === undefined || gaps.includes(undefined)) return true;
  return hours === gaps.reduce<number>((sum, gap) => sum + (gap ?? 0), 0);
}
