import { createHash } from "node:crypto";
import { DataFormatError } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { datasetOf } from "../dataset-reading.ts";
import { splitDataset } from "../split-dataset.ts";
import { readJsonl } from "./read-jsonl.ts";

const lines = (values: readonly unknown[]): string =>
  values.map((value) => `${JSON.stringify(value)}\n`).join("");

function read(conversations: string, questions: string) {
  return readJsonl({
    name: "mine",
    conversations: { file: "in/conversations.jsonl", bytes: Buffer.from(conversations) },
    questions: { file: "in/questions.jsonl", bytes: Buffer.from(questions) },
  });
}

/** Faults in short: file, line, field, problem. */
function faultsOf(conversations: string, questions: string): string[] {
  return read(conversations, questions).faults.map(({ file, line, field, problem }) =>
    [file === "in/questions.jsonl" ? "q" : "c", line, field, problem].join(" | "),
  );
}

const smallest = {
  id: "one",
  sessions: [{ date: "2024-05-01", turns: [{ speaker: "Ann", text: "Hi." }] }],
};
const question = { conversationId: "one", text: "Who says hi?", answer: "Ann" };

describe("the least that can be written", () => {
  const dataset = datasetOf(read(lines([smallest]), lines([question])));

  it("gets ids by position, participants from the speakers, no facts and no split", () => {
    expect(dataset.conversations).toEqual([
      {
        id: "one",
        participants: ["Ann"],
        sessions: [
          {
            id: "session_1",
            dateText: "2024-05-01",
            turns: [{ id: "D1:1", speaker: "Ann", text: "Hi." }],
            facts: [],
          },
        ],
      },
    ]);
    expect(dataset.questions).toEqual([
      {
        id: "one/qa-1",
        conversationId: "one",
        text: "Who says hi?",
        gold: "Ann",
        category: { code: "none", names: {} },
        evidenceTurnIds: [],
        answerable: true,
      },
    ]);
    expect(dataset.splits).toEqual({});
    expect(dataset.notes).toEqual(["conversations without facts, of which the turns are told: 1"]);
  });

  it("has the checksum that sha256sum gives for the two lines of sha256sum", () => {
    const sum = (text: string): string => createHash("sha256").update(text).digest("hex");
    const listing = `${sum(lines([smallest]))}  conversations.jsonl\n${sum(lines([question]))}  questions.jsonl\n`;
    expect(dataset.sha256).toBe(sum(listing));
  });
});

describe("all that can be written", () => {
  const whole = {
    id: "one",
    participants: ["Bo", "Ann"],
    split: "train",
    sessions: [
      {
        id: "first",
        date: "2024-05-01T18:30",
        turns: [
          { id: "t1", speaker: "Ann", text: " Look: " },
          {
            id: "t2",
            speaker: "Bo",
            text: "A kite 🪁.",
            imageCaption: "a kite",
            imageUrls: ["u1", "u2"],
          },
        ],
        facts: [
          { text: "Bo has a kite.", participant: "Bo", sourceTurnIds: ["t2"] },
          { text: "They look.", participant: "Ann", sourceTurnIds: ["t2", "t1"] },
        ],
      },
      { date: "some day", turns: [{ speaker: "Bo", text: "Bye." }] },
    ],
  };
  const questions = [
    {
      id: "q",
      conversationId: "one",
      text: "How many kites?",
      answer: 1,
      category: 7,
      evidenceTurnIds: ["t2", "D2:1"],
      evidenceSessionIds: ["first"],
      date: "2024-06-01 09:00",
    },
    { conversationId: "two", text: "Who?", category: "why", answerable: false },
    { conversationId: "one", text: "Which?", answer: "none", answerable: false },
  ];
  const other = { ...smallest, id: "two", split: "validation" };
  const dataset = datasetOf(read(lines([whole, other]), lines(questions)));

  it("is kept as written, facts in the order in which their first turns were said", () => {
    expect(dataset.conversations[0]).toEqual({
      id: "one",
      participants: ["Bo", "Ann"],
      sessions: [
        {
          id: "first",
          dateText: "2024-05-01T18:30",
          dateTime: "2024-05-01T18:30",
          turns: [
            { id: "t1", speaker: "Ann", text: " Look: " },
            {
              id: "t2",
              speaker: "Bo",
              text: "A kite 🪁.",
              imageCaption: "a kite",
              imageUrls: ["u1", "u2"],
            },
          ],
          facts: [
            {
              id: "one/first/fact-2",
              text: "They look.",
              participant: "Ann",
              sourceTurnIds: ["t1", "t2"],
            },
            {
              id: "one/first/fact-1",
              text: "Bo has a kite.",
              participant: "Bo",
              sourceTurnIds: ["t2"],
            },
          ],
        },
        {
          id: "session_2",
          dateText: "some day",
          turns: [{ id: "D2:1", speaker: "Bo", text: "Bye." }],
          facts: [],
        },
      ],
    });
    expect(dataset.questions).toEqual([
      {
        id: "q",
        conversationId: "one",
        text: "How many kites?",
        gold: "1",
        category: { code: "7", names: {} },
        evidenceTurnIds: ["t2", "D2:1"],
        evidenceSessionIds: ["first"],
        answerable: true,
        dateText: "2024-06-01 09:00",
        dateTime: "2024-06-01T09:00",
      },
      {
        id: "two/qa-1",
        conversationId: "two",
        text: "Who?",
        category: { code: "why", names: {} },
        evidenceTurnIds: [],
        answerable: false,
      },
      {
        id: "one/qa-2",
        conversationId: "one",
        text: "Which?",
        gold: "none",
        category: { code: "none", names: {} },
        evidenceTurnIds: [],
        answerable: false,
      },
    ]);
  });

  it("splits by the conversations' own fields; category 5 means nothing here", () => {
    expect(dataset.splits).toEqual({ own: { train: ["one"], validation: ["two"], test: [] } });
    const five = lines([
      { ...question, category: 5 },
      { ...question, conversationId: "two" },
    ]);
    const split = splitDataset(datasetOf(read(lines([whole, other]), five)));
    expect(split.train.questions).toHaveLength(1);
    expect(split.train.adversarialQuestions).toEqual([]);
  });
});

describe("notes", () => {
  it("tell what is odd and can be read", () => {
    const disordered = {
      ...smallest,
      sessions: [
        { ...smallest.sessions[0], date: "2024-05-02T10:00" },
        { ...smallest.sessions[0], date: "2024-05-01T10:00" },
      ],
    };
    const unasked = { ...smallest, id: "two", split: "train" };
    const third = { ...smallest, id: "three", split: "validation" };
    const { dataset, faults } = read(
      lines([disordered, unasked, third]),
      lines([{ ...question, answer: undefined }]),
    );
    expect(faults).toEqual([]);
    expect(dataset?.notes).toEqual([
      "one: session_2 (2024-05-01T10:00) stands after session_1 (2024-05-02T10:00) and is told in this order",
      "in no part of the split: one",
      "no question is about two, three",
      "questions without an answer, which cannot be graded: 1",
      "conversations without facts, of which the turns are told: 3",
    ]);
  });
});

describe("faults", () => {
  it("are all found in one pass, by file and line, with value and fix", () => {
    const conversations = [
      '{"id":"one","sessions":[{"date":"2024-05-01","turns":[{"speaker":"Ann","text":"Hi."}]}]}',
      '{"id":"two","sessions":[{"date":"2024-05-01","turns":[{"speaker":"Ann","text":"Hi."}]}',
      '{"id":"one","sessions":[{"date":"2024-13-01","turns":[{"speaker":"Ann","text":" "}]}]}',
      '{"id":"one","sessions":[{"date":"2024-13-01","turns":[{"speaker":"Ann","text":"x"}]}]}',
      '{"id":"three","turn":1,"sessions":[{"turns":[{"speakr":"Ann","text":5}]}]}',
      '{"id":"four","participants":["Anna","Bo"],"sessions":[{"date":"d","turns":[{"id":"t","speaker":"Ana","text":"x"},{"id":"t","speaker":"Bo","text":"y"}],"facts":[{"text":"f","participant":"Cy","sourceTurnIds":["t2","t"]}]},{"id":"session_1","date":"d","turns":[{"speaker":"Bo","text":"z"}]}]}',
    ].join("\n");
    const questions = [
      '{"id":"q","conversationId":"one","text":"?","answer":"a","evidenceTurnIds":["D1:1","D1:9","D1:1"]}',
      '{"id":"q","conversationId":"fuor","text":"?","answer":1.5}',
      '{"id":"q","conversationId":"fuor","text":"?","answerable":true,"date":"2024-02-30","evidenceSessionIds":["s"]}',
      '{"conversationId":"one","text":"?","answer":NaN}',
      '{"conversationId":"one","text":"?","text":"!"}',
    ].join("\r\n");
    expect(faultsOf(conversations, questions)).toEqual([
      expect.stringMatching(/^c \| 2 \| {2}\| is not valid JSON: Expected ','/),
      "c | 3 | sessions.0.turns.0.text | is empty",
      "c | 4 | sessions.0.date | names no real day or time",
      "c | 4 | id | is the id of the conversation of line 1, too",
      "c | 5 | sessions.0.date | is missing",
      "c | 5 | sessions.0.turns.0.speaker | is missing",
      "c | 5 | sessions.0.turns.0.text | is a number, must be text",
      "c | 5 | sessions.0.turns.0.speakr | is no key of this format",
      "c | 5 | turn | is no key of this format",
      "c | 6 | sessions.0.turns.0.speaker | is none of the participants",
      "c | 6 | sessions.0.turns.1.id | is used for more than one turn",
      "c | 6 | sessions.0.facts.0.participant | is none of the participants",
      "c | 6 | sessions.0.facts.0.sourceTurnIds | names no turn of this session",
      "c | 6 | sessions.1.id | is used for more than one session",
      "q | 1 | evidenceTurnIds.1 | names no turn of one",
      "q | 1 | evidenceTurnIds.2 | stands there twice",
      "q | 2 | answer | must be text that is not empty, or a whole number that JavaScript keeps exactly",
      "q | 3 | id | is the id of the question of line 1, too",
      "q | 3 | conversationId | is the id of no conversation",
      "q | 3 | answerable | is true, and there is no answer",
      "q | 3 | date | names no real day or time",
      expect.stringMatching(/^q \| 4 \| {2}\| is not valid JSON: Unexpected token 'N'/),
      "q | 5 | text | stands twice in one object",
    ]);
    const { faults } = read(conversations, questions);
    const at = (wanted: string) => faults.find(({ field, line }) => `${line} ${field}` === wanted);
    expect(at("6 sessions.0.turns.0.speaker")).toMatchObject({
      value: '"Ana"',
      fix: 'did you mean "Anna"?',
    });
    expect(at("5 sessions.0.turns.0.speakr")?.fix).toBe('did you mean "speaker"?');
    expect(at("3 conversationId")?.fix).toBe(
      'did you mean "four"? (some conversations could not be read: mend those lines first)',
    );
    expect(at("1 evidenceTurnIds.1")?.fix).toBe('did you mean "D1:1"?');
    expect(at("6 sessions.0.facts.0.participant")?.fix).toBe("use one of them: Anna, Bo");
  });

  it("are a split that cannot train: no train, no validation", () => {
    const others = lines([{ ...smallest, split: "test" }]);
    expect(faultsOf(others, lines([question]))).toEqual([
      'c |  | split | no conversation has the split "train", though others have one',
      'c |  | split | no conversation has the split "validation", though others have one',
    ]);
    expect(faultsOf(lines([{ ...smallest, split: "trian" }]), lines([question]))[0]).toBe(
      'c | 1 | split | Invalid option: expected one of "train"|"validation"|"test"',
    );
  });

  it("are files that hold nothing, or another encoding", () => {
    expect(faultsOf("", " \n\t\r\n")).toEqual([
      "c |  |  | holds no conversation",
      "q |  |  | holds no question",
    ]);
    const { faults } = readJsonl({
      name: "mine",
      conversations: { file: "c", bytes: Buffer.from(lines([smallest]), "utf16le") },
      questions: { file: "q", bytes: Buffer.from('{"text":"café"}\n{"text":"é"}\n', "latin1") },
    });
    expect(faults.map(({ file, line, problem }) => [file, line, problem])).toEqual([
      ["c", undefined, "is UTF-16 or UTF-32, or a binary file"],
      ["q", 1, "holds bytes that are no UTF-8 (Latin-1 or another encoding)"],
      ["q", 2, "holds bytes that are no UTF-8 (Latin-1 or another encoding)"],
    ]);
  });

  it("end a load with the first, and the number of the others", () => {
    const load = () => datasetOf(read(lines([{ ...smallest, id: 5 }, {}]), lines([question])));
    expect(load).toThrow(DataFormatError);
    expect(load).toThrow(
      /^in\/conversations\.jsonl, line 1, at id: is a number, must be text \(found 5\).*3 more faults/,
    );
  });
});

it("takes a byte order mark, Windows line ends, blank lines and no newline at the end", () => {
  const written = lines([smallest]);
  const sound = datasetOf(read(written, lines([question])));
  const other = datasetOf(
    read(`\ufeff${written.replaceAll("\n", "\r\n")}\r\n\r\n`, `\n${lines([question]).trim()}`),
  );
  expect({ ...other, sha256: "" }).toEqual({ ...sound, sha256: "" });
});
