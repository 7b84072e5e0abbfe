import { createHash } from "node:crypto";
import type {
  Conversation,
  Dataset,
  ExtractedFact,
  Question,
  Session,
  SplitDefinition,
  Turn,
} from "@memory-r1/spec";
import type { DatasetFault } from "../dataset-definition.ts";
import type { DatasetReading } from "../dataset-reading.ts";
import { describeValue, nearestName } from "../files/faults.ts";
import type { BytesPlace } from "../files/read-json.ts";
import {
  type JsonLine,
  type JsonLines,
  type JsonlFile,
  readJsonLines,
} from "../files/read-json-lines.ts";
import { parseOwnDate } from "./dates.ts";
import {
  type ConversationLine,
  conversationLineSchema,
  type QuestionLine,
  questionLineSchema,
} from "./schema.ts";

/** Name of the split that the conversations' own `split` fields make. */
const ownSplitName = "own";

/** Code of the category of questions that name none. */
const noCategory = "none";

/** What a reading collects on its way. */
interface Findings {
  readonly faults: DatasetFault[];
  readonly notes: string[];
}

/** Adds a fault of one field. */
type Report = (field: readonly PropertyKey[], value: unknown, problem: string, fix: string) => void;

function reporter(findings: Findings, place: BytesPlace): Report {
  return (field, value, problem, fix) => {
    const described = { field: field.map(String).join("."), value: describeValue(value) };
    findings.faults.push({ ...place, ...described, problem, fix });
  };
}

/** Text for the fix of a name that is none of those there are. */
function pickOne(name: string, names: readonly string[], what: string): string {
  const near = nearestName(name, names);
  if (near !== undefined) return `did you mean "${near}"?`;
  const shown = names.slice(0, 5).join(", ");
  return `use ${what}: ${shown}${names.length > 5 ? ", …" : ""}`;
}

function parseConversation(
  { place, value }: JsonLine<ConversationLine>,
  findings: Findings,
): Conversation {
  const report = reporter(findings, place);
  const turnPositions = new Map<string, number>();
  const sessionIds = new Set<string>();
  const participants = value.participants ?? [
    ...new Set(value.sessions.flatMap(({ turns }) => turns.map(({ speaker }) => speaker))),
  ];
  const checkParticipant = (field: readonly PropertyKey[], name: string): void => {
    if (participants.includes(name)) return;
    report(field, name, "is none of the participants", pickOne(name, participants, "one of them"));
  };
  const sessions = value.sessions.map((raw, sessionIndex): Session => {
    const path = ["sessions", sessionIndex];
    const id = raw.id ?? `session_${sessionIndex + 1}`;
    if (sessionIds.has(id)) {
      report([...path, "id"], id, "is used for more than one session", "give each its own id");
    }
    sessionIds.add(id);
    const turns = raw.turns.map((turn, turnIndex): Turn => {
      const turnPath = [...path, "turns", turnIndex];
      const turnId = turn.id ?? `D${sessionIndex + 1}:${turnIndex + 1}`;
      if (turnPositions.has(turnId)) {
        report(
          [...turnPath, "id"],
          turnId,
          "is used for more than one turn",
          "give each its own id",
        );
      }
      turnPositions.set(turnId, turnPositions.size);
      checkParticipant([...turnPath, "speaker"], turn.speaker);
      return {
        id: turnId,
        speaker: turn.speaker,
        text: turn.text,
        ...(turn.imageCaption === undefined ? {} : { imageCaption: turn.imageCaption }),
        ...(turn.imageUrls === undefined ? {} : { imageUrls: turn.imageUrls }),
      };
    });
    return {
      id,
      ...parseDate(raw.date, [...path, "date"], report),
      turns,
      facts: parseFacts(
        raw,
        { conversationId: value.id, id, turns, turnPositions },
        (index, field, name) => {
          const factPath = [...path, "facts", index];
          if (field === "participant") return checkParticipant([...factPath, "participant"], name);
          const known = turns.map((turn) => turn.id);
          const fix = pickOne(name, known, "turns of this session");
          return report([...factPath, "sourceTurnIds"], name, "names no turn of this session", fix);
        },
      ),
    };
  });
  noteDisorder(value.id, sessions, findings);
  return { id: value.id, participants, sessions };
}

/** Facts in the order in which their first turns were said. */
function parseFacts(
  raw: ConversationLine["sessions"][number],
  session: {
    readonly conversationId: string;
    readonly id: string;
    readonly turns: readonly Turn[];
    readonly turnPositions: ReadonlyMap<string, number>;
  },
  check: (index: number, field: "participant" | "sourceTurnIds", name: string) => void,
): ExtractedFact[] {
  const inSession = new Set(session.turns.map(({ id }) => id));
  const positionOf = (turnId: string | undefined): number =>
    session.turnPositions.get(turnId ?? "") ?? Number.POSITIVE_INFINITY;
  const facts = (raw.facts ?? []).map((fact, index): ExtractedFact => {
    check(index, "participant", fact.participant);
    for (const turnId of fact.sourceTurnIds) {
      if (!inSession.has(turnId)) check(index, "sourceTurnIds", turnId);
    }
    const sourceTurnIds = [...new Set(fact.sourceTurnIds)].sort(
      (one, other) => positionOf(one) - positionOf(other),
    );
    return {
      id: `${session.conversationId}/${session.id}/fact-${index + 1}`,
      text: fact.text,
      participant: fact.participant,
      sourceTurnIds,
    };
  });
  return facts.sort((one, other) => {
    const [first, second] = [positionOf(one.sourceTurnIds[0]), positionOf(other.sourceTurnIds[0])];
    return first === second ? 0 : first - second;
  });
}

function parseDate(
  text: string,
  field: readonly PropertyKey[],
  report: Report,
): { readonly dateText: string; readonly dateTime?: string } {
  const date = parseOwnDate(text);
  if (date.status === "faulty") {
    report(field, text, date.problem, date.fix);
    return { dateText: text };
  }
  return date.dateTime === undefined
    ? { dateText: text }
    : { dateText: text, dateTime: date.dateTime };
}

function noteDisorder(id: string, sessions: readonly Session[], findings: Findings): void {
  let latest: Session | undefined;
  for (const session of sessions) {
    if (session.dateTime === undefined) continue;
    if (latest?.dateTime !== undefined && session.dateTime < latest.dateTime) {
      findings.notes.push(
        `${id}: ${session.id} (${session.dateText}) stands after ${latest.id} (${latest.dateText}) and is told in this order`,
      );
    }
    latest = session;
  }
}

function parseConversations(
  { lines }: JsonLines<ConversationLine>,
  findings: Findings,
): Map<string, Conversation> {
  const conversations = new Map<string, Conversation>();
  const firstLines = new Map<string, number>();
  for (const line of lines) {
    const { id } = line.value;
    const conversation = parseConversation(line, findings);
    const first = firstLines.get(id);
    if (first === undefined) {
      conversations.set(id, conversation);
      firstLines.set(id, line.place.line);
      continue;
    }
    const problem = `is the id of the conversation of line ${first}, too`;
    reporter(findings, line.place)(["id"], id, problem, "give each conversation its own id");
  }
  return conversations;
}

/** The split of the lines' `split` fields; undefined where no line has one. */
function parseSplit(
  { lines }: JsonLines<ConversationLine>,
  findings: Findings,
): SplitDefinition | undefined {
  const idsOf = (part: keyof SplitDefinition | undefined): string[] =>
    lines.filter(({ value }) => value.split === part).map(({ value }) => value.id);
  const split = { train: idsOf("train"), validation: idsOf("validation"), test: idsOf("test") };
  const [first] = lines.filter(({ value }) => value.split !== undefined);
  if (first === undefined) return undefined;
  for (const part of ["train", "validation"] as const) {
    if (split[part].length > 0) continue;
    reporter(findings, { file: first.place.file })(
      ["split"],
      undefined,
      `no conversation has the split "${part}", though others have one`,
      `training needs "train" and "validation": give at least one conversation "split": "${part}", or leave split out everywhere to evaluate only`,
    );
  }
  const inNone = idsOf(undefined);
  if (inNone.length > 0) findings.notes.push(`in no part of the split: ${inNone.join(", ")}`);
  return split;
}

function parseQuestions(
  { lines }: JsonLines<QuestionLine>,
  conversations: ReadonlyMap<string, Conversation>,
  isIncomplete: boolean,
  findings: Findings,
): Question[] {
  const firstLines = new Map<string, number>();
  const counts = new Map<string, number>();
  return lines.map(({ place, value }): Question => {
    const report = reporter(findings, place);
    const { conversationId } = value;
    const number = (counts.get(conversationId) ?? 0) + 1;
    counts.set(conversationId, number);
    const id = value.id ?? `${conversationId}/qa-${number}`;
    const first = firstLines.get(id);
    if (first === undefined) firstLines.set(id, place.line);
    else
      report(
        ["id"],
        id,
        `is the id of the question of line ${first}, too`,
        "give each question its own id",
      );
    const conversation = conversations.get(conversationId);
    if (conversation === undefined) {
      const fix = pickOne(conversationId, [...conversations.keys()], "one of them");
      const hint = isIncomplete
        ? " (some conversations could not be read: mend those lines first)"
        : "";
      report(["conversationId"], conversationId, "is the id of no conversation", `${fix}${hint}`);
    } else {
      checkEvidence(value, conversation, report);
    }
    if (value.answerable === true && value.answer === undefined) {
      report(
        ["answerable"],
        true,
        "is true, and there is no answer",
        "give the answer, or leave answerable out",
      );
    }
    return {
      id,
      conversationId,
      text: value.text,
      ...(value.answer === undefined ? {} : { gold: String(value.answer) }),
      category: { code: String(value.category ?? noCategory), names: {} },
      evidenceTurnIds: value.evidenceTurnIds ?? [],
      ...(value.evidenceSessionIds === undefined
        ? {}
        : { evidenceSessionIds: value.evidenceSessionIds }),
      answerable: value.answerable ?? value.answer !== undefined,
      ...(value.date === undefined ? {} : parseDate(value.date, ["date"], report)),
    };
  });
}

function checkEvidence(value: QuestionLine, conversation: Conversation, report: Report): void {
  const turnIds = conversation.sessions.flatMap(({ turns }) => turns.map(({ id }) => id));
  const sessionIds = conversation.sessions.map(({ id }) => id);
  for (const [key, what, known] of [
    ["evidenceTurnIds", "turn", turnIds],
    ["evidenceSessionIds", "session", sessionIds],
  ] as const) {
    const seen = new Set<string>();
    for (const [index, id] of (value[key] ?? []).entries()) {
      if (!known.includes(id)) {
        const problem = `names no ${what} of ${conversation.id}`;
        report([key, index], id, problem, pickOne(id, known, "one of them"));
      } else if (seen.has(id)) {
        report([key, index], id, "stands there twice", "name it once");
      }
      seen.add(id);
    }
  }
}

function noteTotals(dataset: Omit<Dataset, "notes">, findings: Findings): void {
  const { conversations, questions } = dataset;
  const asked = new Set(questions.map(({ conversationId }) => conversationId));
  const unasked = conversations.filter(({ id }) => !asked.has(id)).map(({ id }) => id);
  if (unasked.length > 0) findings.notes.push(`no question is about ${unasked.join(", ")}`);
  const ungraded = questions.filter(({ gold }) => gold === undefined).length;
  if (ungraded > 0)
    findings.notes.push(`questions without an answer, which cannot be graded: ${ungraded}`);
  const withoutFacts = conversations.filter(({ sessions }) =>
    sessions.every(({ facts }) => facts.length === 0),
  ).length;
  if (withoutFacts > 0)
    findings.notes.push(
      `conversations without facts, of which the turns are told: ${withoutFacts}`,
    );
}

/**
 * Reads a data set of the user's own from its two files. Texts are kept as written. Everything that is wrong is a fault,
 * all of them in one pass; what is odd and could be read is a note.
 */
export function readJsonl(options: {
  readonly name: string;
  readonly conversations: JsonlFile;
  readonly questions: JsonlFile;
}): DatasetReading {
  const findings: Findings = { faults: [], notes: [] };
  const conversationLines = readJsonLines(options.conversations, conversationLineSchema);
  const questionLines = readJsonLines(options.questions, questionLineSchema);
  const conversations = parseConversations(conversationLines, findings);
  const split = parseSplit(conversationLines, findings);
  const questions = parseQuestions(
    questionLines,
    conversations,
    conversationLines.isIncomplete,
    findings,
  );
  for (const [{ file }, { lines, isIncomplete }, what] of [
    [options.conversations, conversationLines, "conversation"],
    [options.questions, questionLines, "question"],
  ] as const) {
    if (lines.length > 0 || isIncomplete) continue;
    reporter(findings, { file })(
      [],
      undefined,
      `holds no ${what}`,
      `write one ${what} in each line`,
    );
  }
  const read = {
    name: options.name,
    sha256: sha256OfFiles([options.conversations, options.questions]),
    conversations: [...conversations.values()],
    questions,
    splits: split === undefined ? {} : { [ownSplitName]: split },
  };
  noteTotals(read, findings);
  const faults = [...conversationLines.faults, ...questionLines.faults, ...findings.faults];
  const isOfQuestions = ({ file }: DatasetFault): number => Number(file === options.questions.file);
  faults.sort(
    (one, other) =>
      isOfQuestions(one) - isOfQuestions(other) || (one.line ?? 0) - (other.line ?? 0),
  );
  return { dataset: { ...read, notes: findings.notes }, faults };
}

/** One checksum for several files: of the lines that `sha256sum` prints for them. */
function sha256OfFiles(files: readonly JsonlFile[]): string {
  const lines = files.map(({ file, bytes }) => {
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    return `${sha256}  ${file.split(/[/\\]/).at(-1)}\n`;
  });
  return createHash("sha256").update(lines.join("")).digest("hex");
}
