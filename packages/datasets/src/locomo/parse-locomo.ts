import { createHash } from "node:crypto";
import type {
  Conversation,
  Dataset,
  ExtractedFact,
  KnownIssue,
  Question,
  Session,
  SessionEvent,
  SplitDefinition,
  Turn,
} from "@memory-r1/spec";
import { z } from "zod";
import type { DatasetFault } from "../dataset-definition.ts";
import { datasetOf, type DatasetReading } from "../dataset-reading.ts";
import { describeValue, faultsOfIssues, valueAt } from "../files/faults.ts";
import { readJson } from "../files/read-json.ts";
import { locomoCategories } from "./categories.ts";
import { parseLocomoDate } from "./dates.ts";
import {
  locomoConversationSchema,
  locomoFileSchema,
  locomoQuestionSchema,
  locomoSampleSchema,
  locomoTurnSchema,
  locomoTurnsSchema,
  type LocomoQuestion,
  type LocomoSample,
  type LocomoTurn,
} from "./schema.ts";
import { parseTurnReferences } from "./turn-references.ts";

export interface ParseLocomoOptions {
  readonly name: string;
  /** The file's name for messages. */
  readonly source: string;
  /** Kept where the file has every conversation that the split names. */
  readonly splits?: Dataset["splits"];
  /** Question id to what was published about it. */
  readonly knownIssues?: ReadonlyMap<string, readonly KnownIssue[]>;
  /** Whether the bytes were looked through for what JSON.parse passes over; default false. */
  readonly isKnownToBeSound?: boolean;
}

/** What a reading collects on its way. */
interface Findings {
  readonly file: string;
  readonly faults: DatasetFault[];
  /** What is odd and could be read; equal lines are kept once. */
  readonly notes: Set<string>;
}

const dateTextSchema = z.string().min(1, "is empty");

/** The schemas of what there is much of, as generated code: on a first reading three times as fast, with the same issues. */
const compileSchemas = () => ({
  file: z.compile(locomoFileSchema),
  turns: z.compile(locomoTurnsSchema),
});
let compiled: ReturnType<typeof compileSchemas> | undefined;
/** Made when first needed: importing this package stays as fast as it is. */
const compiledSchemas = () => (compiled ??= compileSchemas());

const keysOf = (schema: z.ZodObject): ReadonlySet<string> => new Set(Object.keys(schema.shape));
const knownKeys = {
  sample: keysOf(locomoSampleSchema),
  conversation: keysOf(locomoConversationSchema),
  turn: keysOf(locomoTurnSchema),
  question: keysOf(locomoQuestionSchema),
};

/** Notes keys of an object, or of the objects of a list, that nothing here reads: data that would else go unseen. */
function noteUnknownKeys(
  value: unknown,
  known: ReadonlySet<string>,
  where: string,
  findings: Findings,
): void {
  if (Array.isArray(value)) {
    for (const item of value) noteUnknownKeys(item, known, where, findings);
  } else if (typeof value === "object" && value !== null) {
    for (const key in value) {
      if (!known.has(key)) findings.notes.add(`${where}: unknown key "${key}" is not read`);
    }
  }
}

function parseTurn(raw: LocomoTurn): Turn {
  return {
    id: raw.dia_id,
    speaker: raw.speaker,
    text: raw.text,
    ...(raw.blip_caption === undefined ? {} : { imageCaption: raw.blip_caption }),
    ...(raw.img_url === undefined ? {} : { imageUrls: raw.img_url }),
  };
}

/** Session numbers by kind of key; any other key of a conversation is noted. */
function findSessionNumbers(
  sample: LocomoSample,
  findings: Findings,
): { sessions: number[]; dates: number[] } {
  const sessions: number[] = [];
  const dates: number[] = [];
  for (const key of Object.keys(sample.conversation)) {
    const match = /^session_([1-9]\d{0,5})(_date_time)?$/.exec(key);
    if (match === null) {
      if (!knownKeys.conversation.has(key))
        findings.notes.add(`${sample.sample_id}: unknown key "${key}" is not read`);
    } else (match[2] === undefined ? sessions : dates).push(Number(match[1]));
  }
  return { sessions: sessions.sort((first, second) => first - second), dates };
}

/** Notes a name that is none of the two participants'. */
function noteStranger(
  { sample_id: sampleId, conversation }: LocomoSample,
  name: string,
  where: string,
  findings: Findings,
): void {
  if (name === conversation.speaker_a || name === conversation.speaker_b) return;
  findings.notes.add(`${sampleId}/${where}: "${name}" is none of the two participants`);
}

/** Turns and date of a session; undefined where they are faulty. */
function parseTurns(
  sample: LocomoSample,
  path: string,
  number: number,
  findings: Findings,
): Pick<Session, "id" | "dateText" | "dateTime" | "turns"> | undefined {
  const { sample_id: sampleId, conversation } = sample;
  const id = `session_${number}`;
  const check = <T>(key: string, schema: z.ZodType<T>): T | undefined => {
    const value = conversation[key];
    const result = schema.safeParse(value);
    if (result.success) return result.data;
    const place = { file: findings.file };
    const { issues } = result.error;
    findings.faults.push(
      ...faultsOfIssues({ issues, value, schema, place, path: [path, "conversation", key] }),
    );
    return undefined;
  };
  const rawTurns = check(id, compiledSchemas().turns);
  const dateText = check(`${id}_date_time`, dateTextSchema);
  if (rawTurns === undefined || dateText === undefined) return undefined;
  noteUnknownKeys(conversation[id], knownKeys.turn, `${sampleId} turns`, findings);
  for (const turn of rawTurns) {
    noteStranger(sample, turn.speaker, turn.dia_id, findings);
  }
  const turns = rawTurns.map(parseTurn);
  const dateTime = parseLocomoDate(dateText);
  if (dateTime !== undefined) return { id, dateText, dateTime, turns };
  findings.notes.add(`${sampleId}/${id}: date "${dateText}" is not "H:MM am|pm on D Month, YYYY"`);
  return { id, dateText, turns };
}

/** Facts of a session in the order in which their first source turns were said, then in the file's order. */
function parseFacts(
  sample: LocomoSample,
  sessionNumber: number,
  turnPositions: ReadonlyMap<string, number>,
  findings: Findings,
): ExtractedFact[] {
  const positionOf = (turnId: string): number =>
    turnPositions.get(turnId) ?? Number.POSITIVE_INFINITY;
  const observation = sample.observation[`session_${sessionNumber}_observation`] ?? {};
  const facts = Object.entries(observation).flatMap(([participant, rows]) => {
    noteStranger(sample, participant, `session_${sessionNumber}_observation`, findings);
    return rows.map(([text, references], index): ExtractedFact => {
      const id = `${sample.sample_id}/session_${sessionNumber}/${participant}/${index}`;
      const found = parseTurnReferences(
        typeof references === "string" ? [references] : references,
        turnPositions,
      );
      for (const note of found.notes) {
        // Several turns in one string is a documented form of observations, so not worth a note.
        if (!note.endsWith("turns")) findings.notes.add(`${id}: ${note}`);
      }
      const sourceTurnIds = found.turnIds.toSorted(
        (first, second) => positionOf(first) - positionOf(second),
      );
      return { id, text, participant, sourceTurnIds };
    });
  });
  const firstPosition = (fact: ExtractedFact): number => positionOf(fact.sourceTurnIds[0] ?? "");
  // Facts without a source stand last; the sort is stable.
  return facts.sort((first, second) => {
    const [one, other] = [firstPosition(first), firstPosition(second)];
    return one === other ? 0 : one - other;
  });
}

/** The summary of a session and its events, where the file has them. */
function parseSummaries(
  sample: LocomoSample,
  session: Pick<Session, "id" | "dateText">,
  findings: Findings,
): Pick<Session, "summary" | "events"> {
  const summary = sample.session_summary?.[`${session.id}_summary`];
  const key = `events_${session.id}`;
  const raw = sample.event_summary?.[key];
  if (raw === undefined) return summary === undefined ? {} : { summary };
  const where = `${sample.sample_id}/${key}`;
  const events: SessionEvent[] = [];
  for (const [participant, value] of Object.entries(raw)) {
    if (typeof value === "string") {
      // The date of the events says the session's day again.
      if (participant !== "date")
        findings.notes.add(`${where}: "${participant}" is text and no list of events: not read`);
      else if (!session.dateText.endsWith(` on ${value}`))
        findings.notes.add(`${where}: date "${value}" is not the session's: not read`);
      continue;
    }
    noteStranger(sample, participant, key, findings);
    for (const text of value) {
      if (text === "") findings.notes.add(`${where}: an event of ${participant} is empty: dropped`);
      else events.push({ participant, text });
    }
  }
  return { ...(summary === undefined ? {} : { summary }), events };
}

/** Keys of observations and summaries that belong to no session with turns. */
function noteStrayKeys(
  sample: LocomoSample,
  sessionNumbers: readonly number[],
  findings: Findings,
): void {
  const sections = [
    ["observation", sample.observation, (session: string) => `${session}_observation`],
    ["session_summary", sample.session_summary, (session: string) => `${session}_summary`],
    ["event_summary", sample.event_summary, (session: string) => `events_${session}`],
  ] as const;
  for (const [section, value, keyOf] of sections) {
    const known = new Set(sessionNumbers.map((number) => keyOf(`session_${number}`)));
    noteUnknownKeys(value ?? {}, known, `${sample.sample_id} ${section}`, findings);
  }
}

function parseConversation(sample: LocomoSample, path: string, findings: Findings): Conversation {
  const { sessions: numbers, dates } = findSessionNumbers(sample, findings);
  for (const number of dates) {
    if (numbers.includes(number)) continue;
    const date = describeValue(sample.conversation[`session_${number}_date_time`]);
    findings.notes.add(`${sample.sample_id}: session_${number} has a date (${date}) and no turns`);
  }
  if (numbers.length === 0)
    findings.notes.add(`${sample.sample_id}: the conversation has no session`);
  const told = numbers.flatMap((number) => {
    const session = parseTurns(sample, path, number, findings);
    return session === undefined ? [] : [{ number, session }];
  });
  const positions = new Map<string, number>();
  for (const { session } of told) {
    for (const [index, { id }] of session.turns.entries()) {
      if (positions.has(id)) {
        findings.faults.push({
          file: findings.file,
          field: `${path}.conversation.${session.id}.${index}.dia_id`,
          value: describeValue(id),
          problem: `dia_id "${id}" is used for more than one turn`,
          fix: "give every turn of a conversation its own dia_id",
        });
      }
      positions.set(id, positions.size);
    }
  }
  noteStrayKeys(sample, numbers, findings);
  return {
    id: sample.sample_id,
    participants: [sample.conversation.speaker_a, sample.conversation.speaker_b],
    sessions: told.map(({ number, session }) => ({
      ...session,
      facts: parseFacts(sample, number, positions, findings),
      ...parseSummaries(sample, session, findings),
    })),
  };
}

const categoriesByCode = new Map(locomoCategories.map((category) => [category.code, category]));

function parseQuestion(
  raw: LocomoQuestion,
  id: string,
  conversation: Conversation,
  turnIds: ReadonlySet<string>,
  findings: Findings,
): Question | undefined {
  // The schema admits 1 to 5 only.
  const category = categoriesByCode.get(String(raw.category));
  if (category === undefined) return undefined;
  const evidence = parseTurnReferences(raw.evidence, turnIds);
  for (const note of evidence.notes) findings.notes.add(`${id}: evidence ${note}`);
  if (raw.answer === undefined && category.isAdversarial !== true)
    findings.notes.add(`${id}: no answer, though its category has answers: ungraded`);
  if (typeof raw.answer === "number")
    findings.notes.add(`${id}: the answer is a number, read as text`);
  return {
    id,
    conversationId: conversation.id,
    text: raw.question,
    ...(raw.answer === undefined ? {} : { gold: String(raw.answer) }),
    category,
    evidenceTurnIds: evidence.turnIds,
    answerable: raw.answer !== undefined,
    ...(raw.adversarial_answer === undefined ? {} : { adversarialAnswer: raw.adversarial_answer }),
  };
}

function parseSamples(
  samples: readonly LocomoSample[],
  raw: unknown,
  options: ParseLocomoOptions,
  findings: Findings,
): Pick<Dataset, "conversations" | "questions"> {
  const conversations: Conversation[] = [];
  const questions: Question[] = [];
  for (const [sampleIndex, sample] of samples.entries()) {
    const path = String(sampleIndex);
    noteUnknownKeys(sample, knownKeys.sample, "samples", findings);
    const rawQuestions = valueAt(raw, [sampleIndex, "qa"]);
    noteUnknownKeys(rawQuestions, knownKeys.question, `${sample.sample_id} questions`, findings);
    const conversation = parseConversation(sample, path, findings);
    if (conversations.some((other) => other.id === conversation.id)) {
      findings.faults.push({
        file: findings.file,
        field: `${path}.sample_id`,
        value: describeValue(conversation.id),
        problem: `sample_id "${conversation.id}" is used for more than one conversation`,
        fix: "give every conversation its own sample_id",
      });
    }
    const turnIds = new Set(
      conversation.sessions.flatMap((session) => session.turns.map((turn) => turn.id)),
    );
    conversations.push(conversation);
    for (const [index, raw] of sample.qa.entries()) {
      const id = `${conversation.id}/qa-${index}`;
      const question = parseQuestion(raw, id, conversation, turnIds, findings);
      const issues = options.knownIssues?.get(id);
      if (question !== undefined)
        questions.push(issues === undefined ? question : { ...question, knownIssues: issues });
    }
  }
  return { conversations, questions };
}

/** Splits of which the file has every conversation; the others are noted. */
function splitsOf(
  splits: Dataset["splits"],
  conversations: readonly Conversation[],
  findings: Findings,
): Dataset["splits"] {
  const ids = new Set(conversations.map(({ id }) => id));
  const isWhole = ([name, split]: readonly [string, SplitDefinition]): boolean => {
    const missing = Object.values(split)
      .flat()
      .filter((id) => !ids.has(id));
    if (missing.length > 0)
      findings.notes.add(`no split ${name}: the file lacks ${missing.join(", ")}`);
    return missing.length === 0;
  };
  return Object.fromEntries(Object.entries(splits).filter(isWhole));
}

/**
 * Reads a file in LoCoMo's schema. Texts, captions and dates are kept as written; whole-number answers become text; a
 * category 5 question without `answer` has no gold and is not answerable (`adversarial_answer` is a trap, never gold).
 * Fact ids are `<conversation>/session_N/<participant>/<position in the file>`. What is odd is a note, what cannot be
 * read without loss a fault; all faults are found in one pass, except that text which is no JSON has no fields.
 */
export function readLocomo(bytes: Uint8Array, options: ParseLocomoOptions): DatasetReading {
  const findings: Findings = { file: options.source, faults: [], notes: new Set() };
  const place = { file: options.source };
  const reading = readJson(bytes, place, { findFlaws: options.isKnownToBeSound !== true });
  if (reading.status === "faulty") return { dataset: undefined, faults: reading.faults };
  const { value } = reading;
  const result = compiledSchemas().file.safeParse(value);
  if (!result.success) {
    const { issues } = result.error;
    return {
      dataset: undefined,
      faults: faultsOfIssues({ issues, value, schema: locomoFileSchema, place }),
    };
  }
  const parsed = parseSamples(result.data, value, options, findings);
  const splits = splitsOf(options.splits ?? {}, parsed.conversations, findings);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return {
    dataset: { name: options.name, sha256, ...parsed, splits, notes: [...findings.notes] },
    faults: findings.faults,
  };
}

/** A file in LoCoMo's schema, see readLocomo. @throws DataFormatError at the first fault */
export function parseLocomo(bytes: Uint8Array, options: ParseLocomoOptions): Dataset {
  return datasetOf(readLocomo(bytes, options));
}
