import { createHash } from "node:crypto";
import {
  DataFormatError,
  parseJson,
  parseValue,
  type Conversation,
  type Dataset,
  type ExtractedFact,
  type Question,
  type QuestionCategory,
  type Session,
  type Turn,
} from "@memory-r1/spec";
import { z } from "zod";
import { adversarialCategoryCode, locomoCategories } from "./categories.ts";
import { parseLocomoDate } from "./dates.ts";
import {
  locomoConversationSchema,
  locomoFileSchema,
  locomoQuestionSchema,
  locomoSampleSchema,
  locomoTurnSchema,
  type LocomoQuestion,
  type LocomoSample,
  type LocomoTurn,
} from "./schema.ts";
import { parseTurnReferences } from "./turn-references.ts";

/** Collects what is odd in a file; equal lines are kept once. */
type Report = Set<string>;

/** Notes keys that no schema names: data that would else go unseen. */
function reportUnknownKeys(
  value: object,
  known: readonly string[],
  where: string,
  report: Report,
): void {
  for (const key of Object.keys(value)) {
    if (!known.includes(key)) report.add(`${where}: unknown key "${key}" is not read`);
  }
}

function parseTurn(raw: LocomoTurn): Turn {
  const turn = { id: raw.dia_id, speaker: raw.speaker, text: raw.text };
  return raw.blip_caption === undefined ? turn : { ...turn, imageCaption: raw.blip_caption };
}

/** Session numbers by kind of key; any other key of a conversation is noted. */
function findSessionNumbers(
  sample: LocomoSample,
  report: Report,
): { sessions: number[]; dates: Set<number> } {
  const sessions: number[] = [];
  const dates = new Set<number>();
  const fixedKeys = Object.keys(locomoConversationSchema.shape);
  for (const key of Object.keys(sample.conversation)) {
    const match = /^session_(\d+)(_date_time)?$/.exec(key);
    if (match === null) {
      if (!fixedKeys.includes(key))
        report.add(`${sample.sample_id}: unknown key "${key}" is not read`);
    } else if (match[2] === undefined) sessions.push(Number(match[1]));
    else dates.add(Number(match[1]));
  }
  return { sessions: sessions.sort((first, second) => first - second), dates };
}

/** Facts of a session in the order in which their first source turns were said, then in the file's order. */
function parseFacts(
  sample: LocomoSample,
  sessionNumber: number,
  turnPositions: ReadonlyMap<string, number>,
  report: Report,
): ExtractedFact[] {
  const key = `session_${sessionNumber}_observation`;
  const turnIds = new Set(turnPositions.keys());
  const positionOf = (turnId: string): number =>
    turnPositions.get(turnId) ?? Number.POSITIVE_INFINITY;
  const facts = Object.entries(sample.observation[key] ?? {}).flatMap(([participant, rows]) =>
    rows.map(([text, references], index): ExtractedFact => {
      const id = `${sample.sample_id}/session_${sessionNumber}/${participant}/${index}`;
      const found = parseTurnReferences(
        typeof references === "string" ? [references] : references,
        turnIds,
      );
      for (const note of found.notes) {
        // Several turns in one string is a documented form of observations, so not worth a note.
        if (!note.endsWith("turns")) report.add(`${id}: ${note}`);
      }
      const sourceTurnIds = [...found.turnIds].sort(
        (first, second) => positionOf(first) - positionOf(second),
      );
      return { id, text, participant, sourceTurnIds };
    }),
  );
  const firstPosition = (fact: ExtractedFact): number => positionOf(fact.sourceTurnIds[0] ?? "");
  // Facts without a source stand last; the sort is stable.
  return facts.sort((first, second) => {
    const [one, other] = [firstPosition(first), firstPosition(second)];
    return one === other ? 0 : one - other;
  });
}

function parseSession(
  sample: LocomoSample,
  sessionNumber: number,
  source: string,
  report: Report,
): Omit<Session, "facts"> {
  const id = `session_${sessionNumber}`;
  const where = `${source}, ${sample.sample_id} ${id}`;
  const rawTurns = parseValue(sample.conversation[id], z.array(locomoTurnSchema), where);
  const dateText = parseValue(
    sample.conversation[`${id}_date_time`],
    z.string().min(1),
    `${where}_date_time`,
  );
  for (const turn of rawTurns) {
    reportUnknownKeys(
      turn,
      Object.keys(locomoTurnSchema.shape),
      `${sample.sample_id} turns`,
      report,
    );
    if (
      turn.speaker !== sample.conversation.speaker_a &&
      turn.speaker !== sample.conversation.speaker_b
    ) {
      report.add(
        `${sample.sample_id}/${turn.dia_id}: speaker "${turn.speaker}" is none of the two participants`,
      );
    }
  }
  const turns = rawTurns.map(parseTurn);
  const dateTime = parseLocomoDate(dateText);
  if (dateTime !== undefined) return { id, dateText, dateTime, turns };
  report.add(`${sample.sample_id}/${id}: date "${dateText}" is not "H:MM am|pm on D Month, YYYY"`);
  return { id, dateText, turns };
}

function parseConversation(sample: LocomoSample, source: string, report: Report): Conversation {
  const { sessions: sessionNumbers, dates } = findSessionNumbers(sample, report);
  for (const number of dates) {
    if (!sessionNumbers.includes(number))
      report.add(`${sample.sample_id}: session_${number} has a date and no turns`);
  }
  const plainSessions = sessionNumbers.map((number) => ({
    number,
    session: parseSession(sample, number, source, report),
  }));
  const turnIds = plainSessions.flatMap(({ session }) => session.turns.map((turn) => turn.id));
  const turnPositions = new Map(turnIds.map((turnId, position) => [turnId, position]));
  if (turnPositions.size !== turnIds.length) {
    const twice = turnIds.find((turnId, position) => turnPositions.get(turnId) !== position);
    throw new DataFormatError({
      source,
      path: sample.sample_id,
      problem: `dia_id "${twice}" is used for more than one turn`,
      fix: "give every turn of a conversation its own dia_id",
    });
  }
  const observationKeys = sessionNumbers.map((number) => `session_${number}_observation`);
  reportUnknownKeys(sample.observation, observationKeys, `${sample.sample_id} observation`, report);
  return {
    id: sample.sample_id,
    participants: [sample.conversation.speaker_a, sample.conversation.speaker_b],
    sessions: plainSessions.map(({ number, session }) => ({
      ...session,
      facts: parseFacts(sample, number, turnPositions, report),
    })),
  };
}

function findCategory(code: number, source: string): QuestionCategory {
  const category = locomoCategories.find((one) => one.code === String(code));
  if (category !== undefined) return category;
  // The schema admits 1 to 5 only.
  throw new DataFormatError({
    source,
    path: "category",
    problem: `unknown category ${code}`,
    fix: "use 1 to 5",
  });
}

function parseQuestion(
  raw: LocomoQuestion,
  id: string,
  conversation: Conversation,
  turnIds: ReadonlySet<string>,
  source: string,
  report: Report,
): Question {
  reportUnknownKeys(
    raw,
    Object.keys(locomoQuestionSchema.shape),
    `${conversation.id} questions`,
    report,
  );
  const evidence = parseTurnReferences(raw.evidence, turnIds);
  for (const note of evidence.notes) report.add(`${id}: evidence ${note}`);
  const category = findCategory(raw.category, source);
  const question = {
    id,
    conversationId: conversation.id,
    text: raw.question,
    category,
    evidenceTurnIds: evidence.turnIds,
    answerable: raw.answer !== undefined,
  };
  if (raw.answer === undefined) {
    if (category.code !== adversarialCategoryCode)
      report.add(`${id}: no answer, though its category has answers: ungraded`);
    return question;
  }
  if (typeof raw.answer === "number") report.add(`${id}: the answer is a number, read as text`);
  return { ...question, gold: String(raw.answer) };
}

/**
 * Parses a file in LoCoMo's schema. Texts, captions and dates are kept as written; numeric answers become text; a
 * category 5 question without `answer` has no gold and is not answerable (`adversarial_answer` is a trap, never gold).
 * Fact ids are `<conversation>/session_N/<participant>/<position in the file>`.
 * @param options.source the file's name for messages.
 * @throws DataFormatError where the text is not JSON, a field has another type, or a turn id is used twice.
 */
export function parseLocomo(
  bytes: Uint8Array,
  options: {
    readonly name: string;
    readonly source: string;
    readonly splits?: Dataset["splits"];
  },
): Dataset {
  const { name, source, splits = {} } = options;
  const samples = parseJson(new TextDecoder().decode(bytes), locomoFileSchema, source);
  const report: Report = new Set();
  const conversations: Conversation[] = [];
  const questions: Question[] = [];
  for (const sample of samples) {
    reportUnknownKeys(sample, Object.keys(locomoSampleSchema.shape), "samples", report);
    const conversation = parseConversation(sample, source, report);
    if (conversations.some((other) => other.id === conversation.id)) {
      throw new DataFormatError({
        source,
        path: "sample_id",
        problem: `"${conversation.id}" is used for more than one conversation`,
        fix: "give every conversation its own sample_id",
      });
    }
    const turnIds = new Set(
      conversation.sessions.flatMap((session) => session.turns.map((turn) => turn.id)),
    );
    conversations.push(conversation);
    for (const [index, raw] of sample.qa.entries()) {
      const id = `${conversation.id}/qa-${index}`;
      questions.push(parseQuestion(raw, id, conversation, turnIds, source, report));
    }
  }
  return {
    name,
    sha256: createHash("sha256").update(bytes).digest("hex"),
    conversations,
    questions,
    splits,
    notes: [...report],
  };
}
