import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  type Conversation,
  type Dataset,
  HarnessError,
  parseJson,
  type Session,
} from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import {
  type Files,
  groupBy,
  makeMutants,
  type Mutant,
  type MutationOptions,
} from "./__fixtures__/mutations.ts";
import { datasetOf } from "./dataset-reading.ts";
import { readJsonl } from "./jsonl/read-jsonl.ts";
import { parseLocomo } from "./locomo/parse-locomo.ts";
import { loadLongMemEval } from "./longmemeval/read-longmemeval.ts";
import { parseMscFileName, readMsc } from "./msc/parse-msc.ts";
import { readSelfInstruct } from "./msc/parse-self-instruct.ts";
import type { DatasetName } from "./registry.ts";

/** A format under test: its embedded mini files, and what its parser promises of them. */
interface Subject extends MutationOptions {
  /** Reads the files; their names are the sources of messages. */
  parse(files: Files): Dataset | Promise<Dataset>;
  /** Keys whose values the format documents as not read. */
  readonly unreadKeys: readonly string[];
  /** Keys that are the format's own; any other is data. */
  readonly formatKeys: RegExp;
  /** Turns and questions in the documents of the files. */
  count(documents: Readonly<Record<string, readonly unknown[]>>): {
    turns: number;
    questions: number;
  };
}

const mini = (path: string): Uint8Array =>
  readFileSync(fileURLToPath(new URL(`../mini/${path}`, import.meta.url)));
const bytesOf = (files: Files, name: string): Uint8Array => files[name] ?? new Uint8Array();

const countedLocomo = z.array(
  z.object({ conversation: z.record(z.string(), z.unknown()), qa: z.array(z.unknown()) }),
);

const samples = z.array(z.unknown());
/** The mini set and a conversation with every oddity of the official file, as one file. */
const locomoBytes = Buffer.from(
  JSON.stringify(
    [mini("locomo-mini.json"), mini("../src/locomo/__fixtures__/quirks.json")].flatMap((bytes) =>
      parseJson(new TextDecoder().decode(bytes), samples, "locomo10.json"),
    ),
  ),
);

const locomo: Subject = {
  files: { "locomo10.json": locomoBytes },
  format: "json",
  parse: (files) =>
    parseLocomo(bytesOf(files, "locomo10.json"), { name: "locomo-mini", source: "locomo10.json" }),
  unreadKeys: ["query", "re-download"],
  formatKeys:
    /^(sample_id|conversation|qa|observation|(session|event)_summary|speaker(_[ab])?|(events_)?session_\d+(_(date_time|observation|summary))?|date|dia_id|text|blip_caption|img_url|query|re-download|question|answer|evidence|category|adversarial_answer)$/,
  isRequired: (path) =>
    /^\d+\.(sample_id|conversation|qa|observation|conversation\.speaker_[ab]|qa\.\d+\.(question|evidence|category)|conversation\.session_\d+\.\d+\.(speaker|dia_id|text))$/.test(
      path,
    ),
  uniqueGroup: (path) => {
    if (/^\d+\.sample_id$/.test(path)) return "samples";
    return /^(\d+)\.conversation\.session_\d+\.\d+\.dia_id$/.exec(path)?.[1];
  },
  count: (documents) => {
    const samples = countedLocomo.parse(documents["locomo10.json"]?.[0]);
    const sessions = samples.flatMap(({ conversation }) =>
      Object.entries(conversation).flatMap(([key, value]) =>
        /^session_\d+$/.test(key) && Array.isArray(value) ? [value.length] : [],
      ),
    );
    return {
      turns: sessions.reduce((sum, length) => sum + length, 0),
      questions: samples.reduce((sum, { qa }) => sum + qa.length, 0),
    };
  },
};

const countedConversation = z.object({
  sessions: z.array(z.object({ turns: z.array(z.unknown()) })),
});

const jsonl: Subject = {
  files: {
    "conversations.jsonl": mini("jsonl-mini/conversations.jsonl"),
    "questions.jsonl": mini("jsonl-mini/questions.jsonl"),
  },
  format: "json-lines",
  parse: (files) =>
    datasetOf(
      readJsonl({
        name: "jsonl-mini",
        conversations: {
          file: "conversations.jsonl",
          bytes: bytesOf(files, "conversations.jsonl"),
        },
        questions: { file: "questions.jsonl", bytes: bytesOf(files, "questions.jsonl") },
      }),
    ),
  unreadKeys: [],
  formatKeys:
    /^(id|participants|split|sessions|date|turns|speaker|text|imageCaption|imageUrls|facts|participant|sourceTurnIds|conversationId|answer|category|evidence(Turn|Session)Ids|answerable)$/,
  isRequired: (path, file) =>
    file === "conversations.jsonl"
      ? /^(id|sessions|sessions\.\d+\.(date|turns)|sessions\.\d+\.turns\.\d+\.(speaker|text)|sessions\.\d+\.facts\.\d+\.(text|participant|sourceTurnIds))$/.test(
          path,
        )
      : /^(conversationId|text)$/.test(path),
  uniqueGroup: (path, file) => {
    if (path === "id") return file;
    if (/^sessions\.\d+\.id$/.test(path)) return "sessions of line <line>";
    return /^sessions\.\d+\.turns\.\d+\.id$/.test(path) ? "turns of line <line>" : undefined;
  },
  count: (documents) => {
    const turns = (documents["conversations.jsonl"] ?? []).map((line) =>
      countedConversation
        .parse(line)
        .sessions.reduce((sum, session) => sum + session.turns.length, 0),
    );
    return {
      turns: turns.reduce((sum, count) => sum + count, 0),
      questions: documents["questions.jsonl"]?.length ?? 0,
    };
  },
};

const countedRecords = z.array(z.object({ haystack_sessions: z.array(z.array(z.unknown())) }));
const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0);

const longMemEval: Subject = {
  files: { "longmemeval.json": mini("longmemeval-mini.json") },
  format: "json",
  parse: (files) =>
    loadLongMemEval({
      name: "longmemeval-mini",
      file: "longmemeval.json",
      // In small pieces, so that records and characters are cut.
      open: async function* (file) {
        const bytes = bytesOf(files, file);
        for (let start = 0; start < bytes.length; start += 1000) {
          yield await Promise.resolve(bytes.subarray(start, start + 1000));
        }
      },
    }),
  // Session ids tell the answer: conversations have neutral ones.
  unreadKeys: ["haystack_session_ids", "answer_session_ids"],
  formatKeys:
    /^(question(_id|_type|_date)?|answer(_session_ids)?|haystack_(dates|session_ids|sessions)|role|content|has_answer)$/,
  isRequired: (path) =>
    /^\d+\.(question(_id|_type|_date)?|answer_session_ids|haystack_(dates|session_ids|sessions)|haystack_sessions\.\d+\.\d+\.(role|content))$/.test(
      path,
    ),
  uniqueGroup: (path) => (/^\d+\.question_id$/.test(path) ? "questions" : undefined),
  count: (documents) => {
    const records = countedRecords.parse(documents["longmemeval.json"]?.[0]);
    return {
      turns: sumOf(
        records.flatMap(({ haystack_sessions: sessions }) => sessions.map(({ length }) => length)),
      ),
      questions: records.length,
    };
  },
};

const countedRow = z.object({
  dialog: z.array(z.unknown()),
  previous_dialogs: z.array(z.object({ dialog: z.array(z.unknown()) })),
});
const turnsOfRows = (rows: readonly unknown[]): number =>
  sumOf(
    rows.map((row) => {
      const { dialog, previous_dialogs: previous } = countedRow.parse(row);
      return dialog.length + sumOf(previous.map((one) => one.dialog.length));
    }),
  );
const dialogueKeys =
  "personas|dialog|metadata|initial_data_id|session_id|previous_dialogs|time_(num|unit|back)|text|id|convai2_id|rating|init_personas";
/** Fields of both formats of Multi-Session Chat that say what was said, by whom and when. */
const dialogueFields =
  "dialog|previous_dialogs|dialog\\.\\d+\\.(text|id)|previous_dialogs\\.\\d+\\.(dialog|time_(num|unit|back)|dialog\\.\\d+\\.text)";
// A worker's number stands for Speaker 1, and convai2_id repeats the row's id.
const unreadInDialogues = ["id", "convai2_id"];

const mscFileNames = ["session_2_train.txt", "session_2_valid.txt", "session_3_test.txt"];
const mscRequired = new RegExp(
  `^(${dialogueFields}|personas|metadata|init_personas|metadata\\.(initial_data_id|session_id)|previous_dialogs\\.\\d+\\.personas)$`,
);

const msc: Subject = {
  files: Object.fromEntries(mscFileNames.map((name) => [name, mini(`msc-mini/${name}`)])),
  format: "json-lines",
  parse: (files) =>
    datasetOf(
      readMsc(
        "msc-mini",
        Object.entries(files).flatMap(([path, bytes]) => {
          const place = parseMscFileName(path);
          return place === undefined ? [] : [{ path, bytes, ...place }];
        }),
      ),
    ),
  // Personas of the row; those of the sessions before are facts, which parse-msc.test.ts looks at.
  unreadKeys: [...unreadInDialogues, "personas", "init_personas"],
  formatKeys: new RegExp(`^(${dialogueKeys})$`),
  isRequired: (path) => mscRequired.test(path),
  uniqueGroup: (path, file) => (path === "metadata.initial_data_id" ? file : undefined),
  count: (documents) => ({ turns: turnsOfRows(Object.values(documents).flat()), questions: 0 }),
};

const selfInstructFile = "msc_self_instruct.jsonl";
const selfInstructRequired = new RegExp(`^(${dialogueFields}|self_instruct|self_instruct\\.[AB])$`);

const selfInstruct: Subject = {
  files: { [selfInstructFile]: mini("msc-self-instruct-mini.jsonl") },
  format: "json-lines",
  parse: (files) =>
    datasetOf(
      readSelfInstruct(bytesOf(files, selfInstructFile), {
        name: "msc-self-instruct-mini",
        source: selfInstructFile,
      }),
    ),
  unreadKeys: [
    ...unreadInDialogues,
    "metadata",
    "personas",
    "init_personas",
    "personas_update1",
    "personas_update2",
  ],
  formatKeys: new RegExp(
    `^(${dialogueKeys}|personas_update[12]|self_instruct|[AB]|summary_speaker_[12])$`,
  ),
  isRequired: (path) => selfInstructRequired.test(path),
  // Conversations are told apart by their lines.
  uniqueGroup: () => undefined,
  count: (documents) => {
    const rows = documents[selfInstructFile] ?? [];
    return { turns: turnsOfRows(rows), questions: rows.length };
  },
};

/** Every registered data set and the format that it is in: a new one adds its line here. */
const subjects = {
  locomo,
  "locomo-modified": locomo,
  "locomo-mini": locomo,
  jsonl,
  "jsonl-mini": jsonl,
  "longmemeval-oracle": longMemEval,
  "longmemeval-s": longMemEval,
  "longmemeval-m": longMemEval,
  "longmemeval-mini": longMemEval,
  msc,
  "msc-mini": msc,
  "msc-self-instruct": selfInstruct,
  "msc-self-instruct-mini": selfInstruct,
} as const satisfies Readonly<Record<DatasetName, Subject>>;

const mutantsOfEach = 500;
/** What the user can mend; anything else is a crash. */
const typedCodes = ["config", "data_format", "data_integrity"];
/** Of the errors of JSON itself V8 does not always tell the position. */
const namesAPlace = /, (line \d+|at \S+)|is not valid JSON|is UTF-16|holds no |, must be a list/;

/** The data set with what may stand in another order when only keys changed places. */
function canonical({ sha256: _sha256, ...dataset }: Dataset): unknown {
  const ofSession = (session: Session): unknown => ({
    ...session,
    facts: session.facts.toSorted((one, other) => (one.id < other.id ? -1 : 1)),
    events: session.events?.map((event) => JSON.stringify(event)).toSorted(),
  });
  const ofConversation = (conversation: Conversation): unknown => ({
    ...conversation,
    sessions: conversation.sessions.map(ofSession),
  });
  return {
    ...dataset,
    conversations: dataset.conversations.map(ofConversation),
    notes: dataset.notes.toSorted(),
  };
}

function documentsOf({ format }: Subject, files: Files): Record<string, unknown[]> {
  const read = (file: string, bytes: Uint8Array): unknown[] => {
    const text = new TextDecoder().decode(bytes);
    const parts =
      format === "json" ? [text] : text.split("\n").filter((line) => line.trim() !== "");
    return parts.map((part) => parseJson(part, z.unknown(), file));
  };
  return Object.fromEntries(
    Object.entries(files).map(([file, bytes]) => [file, read(file, bytes)]),
  );
}

/** Which keys are data, and the values of which ones are left out. */
interface KeyRules {
  isData(key: string): boolean;
  isSkipped(key: string): boolean;
}

/** Every text, number and key of data in a value. */
function contentOf(value: unknown, rules: KeyRules): string[] {
  if (typeof value === "string" || typeof value === "number") return [String(value)];
  if (Array.isArray(value)) return value.flatMap((item) => contentOf(item, rules));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => [
    ...(rules.isData(key) ? [key] : []),
    ...(rules.isSkipped(key) ? [] : contentOf(item, rules)),
  ]);
}

/** What files say and the data set neither holds nor notes, whole or word by word. */
function lostContent(subject: Subject, files: Files, dataset: Dataset): string[] {
  const documents = documentsOf(subject, files);
  const kept = contentOf(dataset, { isData: () => true, isSkipped: () => false });
  const exactly = new Set(kept);
  const together = kept.join("\n");
  const isKept = (text: string): boolean => exactly.has(text) || together.includes(text);
  const notes = dataset.notes.join("\n");
  const said: KeyRules = {
    isData: (key) => !subject.formatKeys.test(key),
    // A note that a key is not read says enough of its value.
    isSkipped: (key) =>
      subject.unreadKeys.includes(key) || notes.includes(`key "${key}" is not read`),
  };
  const lost = [...new Set(contentOf(Object.values(documents), said))].filter(
    (text) => !isKept(text) && ![...new Set(text.split(/[;,\s]+/))].every(isKept),
  );
  const { turns, questions } = subject.count(documents);
  const told = dataset.conversations.flatMap(({ sessions }) => sessions.map((one) => one.turns));
  if (told.flat().length !== turns) lost.push(`${turns} turns`);
  if (dataset.questions.length !== questions) lost.push(`${questions} questions`);
  return lost;
}

type Outcome =
  | { readonly status: "read"; readonly dataset: Dataset }
  | { readonly status: "failed"; readonly error: unknown };

async function attempt(subject: Subject, files: Files): Promise<Outcome> {
  try {
    return { status: "read", dataset: await subject.parse(files) };
  } catch (error) {
    return { status: "failed", error };
  }
}

interface Original {
  readonly canonical: string;
  /** What the sound files say and the format documents as dropped, such as dates without a session. */
  readonly lost: readonly string[];
}

async function originalOf(subject: Subject): Promise<Original> {
  const dataset = await subject.parse(subject.files);
  return {
    canonical: JSON.stringify(canonical(dataset)),
    lost: lostContent(subject, subject.files, dataset),
  };
}

/** What is wrong with the way in which a mutant was received; undefined: nothing. */
function complaint(
  subject: Subject,
  original: Original,
  { kind, files, changesField }: Mutant,
  outcome: Outcome,
): string | undefined {
  if (outcome.status === "failed") {
    const { error } = outcome;
    if (!HarnessError.isInstance(error) || !typedCodes.includes(error.code))
      return `crashed: ${String(error)}`;
    const { message } = error;
    if (kind === "harmless") return `refused: ${message}`;
    if (!Object.keys(files).some((file) => message.startsWith(file)))
      return `names no file: ${message}`;
    if (!namesAPlace.test(message)) return `names no place: ${message}`;
    return changesField && !/, at \S+: /.test(message) ? `names no field: ${message}` : undefined;
  }
  if (kind === "fatal") return "was read, and should not have been";
  if (kind === "harmless")
    return JSON.stringify(canonical(outcome.dataset)) === original.canonical
      ? undefined
      : "was read as something else";
  const lost = lostContent(subject, files, outcome.dataset).filter(
    (text) => !original.lost.includes(text),
  );
  return lost.length === 0 ? undefined : `lost ${JSON.stringify(lost).slice(0, 200)}`;
}

describe.each([...groupBy(Object.entries(subjects), ([, subject]) => subject)])(
  "damaged files",
  (subject, names) => {
    const label = names.map(([name]) => name).join(", ");

    it(`are read as before, refused by name or told in notes: ${mutantsOfEach} mutants of ${label}`, async () => {
      const original = await originalOf(subject);
      const complaints: string[] = [];
      const counts = new Map<string, number>();
      for (const mutant of makeMutants(subject, mutantsOfEach)) {
        const outcome = await attempt(subject, mutant.files);
        const text = complaint(subject, original, mutant, outcome);
        if (text !== undefined) complaints.push(`${mutant.description}: ${text}`);
        const group = `${mutant.kind} ${outcome.status}`;
        counts.set(group, (counts.get(group) ?? 0) + 1);
      }
      expect(complaints).toEqual([]);
      // The judgement of what may be read or refused was called for, in both ways.
      for (const group of ["harmless read", "fatal failed", "unknown read", "unknown failed"])
        expect(counts.get(group) ?? 0, group).toBeGreaterThan(20);
    });
  },
);

it("would find content that a parser loses", async () => {
  const { files } = jsonl;
  const mutant: Mutant = { description: "", files, file: "", kind: "unknown", changesField: false };
  const dataset = await jsonl.parse(files);
  const less = { ...dataset, questions: dataset.questions.slice(1) };
  expect(
    complaint(jsonl, await originalOf(jsonl), mutant, { status: "read", dataset }),
  ).toBeUndefined();
  expect(complaint(jsonl, await originalOf(jsonl), mutant, { status: "read", dataset: less })).toBe(
    'lost ["Where did Lena\'s pottery class meet in March?","21 questions"]',
  );
});
