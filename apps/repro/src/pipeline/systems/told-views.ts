import { createHash } from "node:crypto";
import type {
  AskedQuestion,
  Conversation,
  ExtractedFact,
  OpenedConversation,
  Question,
  Session,
  ToldSession,
  Turn,
} from "@memory-r1/spec";

/** What a system has read of what it was told, as `turn.imageCaption` or `question.dateText`; fields without a value are not noted. */
export type ReadFields = Set<string>;

// Every field that the contract leaves out: a new field of the data has to be put on one side before this compiles.
type Hidden<Whole, Told> = Readonly<Record<Exclude<keyof Whole, keyof Told>, true>>;

const hiddenOfConversation: Hidden<Conversation, OpenedConversation> = { sessions: true };
const hiddenOfSession: Hidden<Session, ToldSession> = {
  turns: true,
  facts: true,
  summary: true,
  events: true,
};
const hiddenOfQuestion: Hidden<Question, AskedQuestion> = {
  conversationId: true,
  gold: true,
  category: true,
  evidenceTurnIds: true,
  evidenceSessionIds: true,
  answerable: true,
  dateTime: true,
  adversarialAnswer: true,
  knownIssues: true,
};

/**
 * A copy that notes which fields are read, and throws where one is read that no system may see. Plain getters, so that
 * spreading, comparing and cloning work as on any object: what is hidden is not enumerable.
 */
function view<Told extends object>(
  kind: string,
  told: Told,
  hidden: object,
  read: ReadFields,
): Told {
  const shown = { ...told };
  const fields: readonly [string, unknown][] = Object.entries(told);
  for (const [field, value] of fields) {
    const get = (): unknown => {
      if (value !== undefined) read.add(`${kind}.${field}`);
      return value;
    };
    Object.defineProperty(shown, field, { enumerable: true, get });
  }
  for (const field of Object.keys(hidden)) {
    const get = (): never => {
      throw new RangeError(`${kind}.${field} was read: no memory system may see it`);
    };
    Object.defineProperty(shown, field, { enumerable: false, get });
  }
  return shown;
}

/** A conversation as a system sees it before the first turn. */
export function openedConversation(
  { id, participants }: Conversation,
  read: ReadFields,
): OpenedConversation {
  return view("conversation", { id, participants }, hiddenOfConversation, read);
}

/** A session as a system sees it: what it is, never what is to come in it. */
export function toldSession({ id, dateText, dateTime }: Session, read: ReadFields): ToldSession {
  const told = { id, dateText, ...(dateTime === undefined ? {} : { dateTime }) };
  return view("session", told, hiddenOfSession, read);
}

export function toldTurn(turn: Turn, read: ReadFields): Turn {
  return view("turn", turn, {}, read);
}

/** Facts that begin in a turn; with a session's last turn, those of which no turn is known (Multi-Session Chat). */
export function factsToldWith(
  turnId: string,
  { turns, facts }: Session,
  read: ReadFields,
): ExtractedFact[] {
  const isLast = turns.at(-1)?.id === turnId;
  return facts
    .filter(({ sourceTurnIds: [first] }) => (first === undefined ? isLast : first === turnId))
    .map((fact) => view("fact", fact, {}, read));
}

/**
 * A question as a system sees it. Its own id may say what is right (LongMemEval's end in `_abs` where nothing is), so a system
 * gets another one: always the same for the same question, and telling nothing of it.
 */
export function askedQuestion({ id, text, dateText }: Question, read: ReadFields): AskedQuestion {
  const asked = {
    id: createHash("sha256").update(id).digest("hex").slice(0, 16),
    text,
    ...(dateText === undefined ? {} : { dateText }),
  };
  return view("question", asked, hiddenOfQuestion, read);
}
