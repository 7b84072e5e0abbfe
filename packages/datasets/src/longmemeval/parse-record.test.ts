import { describe, expect, it } from "vitest";
import { longMemEvalCategories, longMemEvalTypes } from "./categories.ts";
import { parseLongMemEvalRecord } from "./parse-record.ts";
import { longMemEvalRecordSchema } from "./schema.ts";

// An invented record with the file's own kinds of ids, sessions out of order of time.
const record = {
  question_id: "e3f1_abs",
  question_type: "multi-session",
  question: "How many violins did I repair?",
  answer: "You mentioned two guitars, but no violins.",
  question_date: "2023/10/02 (Mon) 11:20",
  haystack_dates: ["2023/09/21 (Thu) 20:15", "2023/08/14 (Mon) 08:40", "2023/08/30 (Wed) 19:55"],
  haystack_session_ids: ["answer_7c_abs_2", "ultra_9", "answer_7c_abs_1"],
  haystack_sessions: [
    [
      { role: "user", content: "The second guitar is done. ", has_answer: true },
      { role: "assistant", content: "Well done!" },
    ],
    [{ role: "user", content: "My fern is brown." }],
    [
      { role: "user", content: "The first guitar is straight.", has_answer: true },
      { role: "assistant", content: "Good.", has_answer: false },
    ],
  ],
  answer_session_ids: ["answer_7c_abs_2", "answer_7c_abs_1"],
};

const parse = (changes: object = {}, index = 11) =>
  parseLongMemEvalRecord(longMemEvalRecordSchema.parse({ ...record, ...changes }), index);
const questionOf = (changes: object) => parse(changes).questions[0];

describe("parseLongMemEvalRecord", () => {
  it("gives sessions in order of time under neutral ids, evidence by turn and session, and the official question id", () => {
    expect(parse()).toEqual({
      conversation: {
        id: "longmemeval-12",
        participants: ["user", "assistant"],
        sessions: [
          {
            id: "session_1",
            dateText: "2023/08/14 (Mon) 08:40",
            dateTime: "2023-08-14T08:40",
            turns: [{ id: "D1:1", speaker: "user", text: "My fern is brown." }],
            facts: [],
          },
          {
            id: "session_2",
            dateText: "2023/08/30 (Wed) 19:55",
            dateTime: "2023-08-30T19:55",
            turns: [
              { id: "D2:1", speaker: "user", text: "The first guitar is straight." },
              { id: "D2:2", speaker: "assistant", text: "Good." },
            ],
            facts: [],
          },
          {
            id: "session_3",
            dateText: "2023/09/21 (Thu) 20:15",
            dateTime: "2023-09-21T20:15",
            turns: [
              { id: "D3:1", speaker: "user", text: "The second guitar is done. " },
              { id: "D3:2", speaker: "assistant", text: "Well done!" },
            ],
            facts: [],
          },
        ],
      },
      questions: [
        {
          id: "e3f1_abs",
          conversationId: "longmemeval-12",
          text: "How many violins did I repair?",
          gold: "You mentioned two guitars, but no violins.",
          category: {
            code: "multi-session",
            names: { official: "multi-session", "memory-r1": "MS" },
          },
          evidenceTurnIds: ["D2:1", "D3:1"],
          evidenceSessionIds: ["session_2", "session_3"],
          answerable: false,
          dateText: "2023/10/02 (Mon) 11:20",
          dateTime: "2023-10-02T11:20",
        },
      ],
      notes: [
        "e3f1_abs: sessions were put in order of time; their positions in the file are 2, 3, 1",
      ],
    });
  });

  it("shows a system nothing of the ids that tell what is right", () => {
    const { conversation } = parse();
    expect(JSON.stringify(conversation)).not.toMatch(/answer|_abs|ultra/);
  });

  it("tells unanswerable questions by the end of their id alone", () => {
    expect(questionOf({ question_id: "e3f1" })?.answerable).toBe(true);
    expect(questionOf({ question_id: "gpt4_abs_77" })?.answerable).toBe(true);
    expect(questionOf({ question_id: "gpt4_77_abs" })?.answerable).toBe(false);
  });

  // Counts of the paper's table and Memory-R1's names, which calls single-session-assistant OD.
  it("names every type in both schemes", () => {
    const names = longMemEvalTypes.map((type) => longMemEvalCategories[type].names["memory-r1"]);
    expect(names).toEqual(["SSU", "SSP", "OD", "MS", "KU", "TR"]);
    for (const type of longMemEvalTypes) {
      expect(questionOf({ question_type: type })?.category).toEqual({
        code: type,
        names: expect.objectContaining({ official: type }),
        ...(type === "knowledge-update" ? { isUpdate: true } : {}),
      });
    }
  });

  it.each([
    [3, "3", "the answer is a number, read as text"],
    [2.5, "2.5", "the answer is a number, read as text"],
    [true, "true", "the answer is a boolean, read as text"],
    [["a", "b"], '["a","b"]', "the answer is a JSON structure, read as text"],
    [{ text: "a" }, '{"text":"a"}', "the answer is a JSON structure, read as text"],
    [null, undefined, "no answer: ungraded"],
    [undefined, undefined, "no answer: ungraded"],
  ])("reads the answer %j as %j", (answer, gold, note) => {
    const { questions, notes } = parse({ answer });
    expect(questions[0]?.gold).toBe(gold);
    expect(notes).toContain(`e3f1_abs: ${note}`);
  });

  it("keeps sessions that are empty or have another's id, each under an id of its own", () => {
    const session = [{ role: "user", content: "Hello" }];
    const { conversation, questions, notes } = parse({
      haystack_sessions: [session, [], session],
      haystack_session_ids: ["ultra_9", "filler_2", "ultra_9"],
      answer_session_ids: ["ultra_9"],
    });
    expect(conversation.sessions.map(({ id, turns }) => [id, turns.length])).toEqual([
      ["session_1", 0],
      ["session_2", 1],
      ["session_3", 1],
    ]);
    expect(questions[0]?.evidenceSessionIds).toEqual(["session_2", "session_3"]);
    expect(notes).toEqual(
      expect.arrayContaining([
        "e3f1_abs: sessions 1 and 3 of the file have the same id ultra_9: both are kept",
        "e3f1_abs: session_1 (filler_2) is empty",
        "e3f1_abs: evidence session ultra_9 stands 2 times in the history",
      ]),
    );
  });

  it("keeps the file's order of sessions of the same minute, and of all where a date cannot be read", () => {
    const texts = (changes: object): string[] =>
      parse(changes).conversation.sessions.map(({ turns }) => turns[0]?.text ?? "");
    const fileOrder = record.haystack_sessions.map(([turn]) => turn?.content);
    const [first = "", second = ""] = record.haystack_dates;
    expect(texts({ haystack_dates: [first, first, first] })).toEqual(fileOrder);
    const undated = { haystack_dates: [first, second, "some day"] };
    expect(texts(undated)).toEqual(fileOrder);
    expect(parse(undated).conversation.sessions[2]?.dateText).toBe("some day");
    expect(parse(undated).conversation.sessions[2]).not.toHaveProperty("dateTime");
    expect(parse(undated).notes).toEqual([
      'e3f1_abs: session 3 of the file: date "some day" is not "YYYY/MM/DD (Ddd) HH:MM"',
      "e3f1_abs: not every session has a date that can be read: the file's order is kept",
    ]);
  });

  it("notes wrong weekdays, evidence that is not there, odd marks and keys that it does not read", () => {
    const { notes, questions } = parse({
      question_date: "2023/10/02 (Tue) 11:20",
      haystack_sessions: [
        [{ role: "user", content: "a", has_answer: "yes", mood: 1 }],
        [],
        [{ role: "user", content: "", has_answer: null }],
      ],
      answer_session_ids: ["answer_0"],
      extra: 1,
    });
    expect(questions[0]).toMatchObject({
      dateTime: "2023-10-02T11:20",
      evidenceTurnIds: [],
      evidenceSessionIds: [],
    });
    expect(notes).toEqual(
      expect.arrayContaining([
        'e3f1_abs: question_date: date "2023/10/02 (Tue) 11:20" was a Mon; the day of the month is taken',
        "e3f1_abs: evidence session answer_0 is not in the history",
        'e3f1_abs: D3:1: has_answer is "yes", read as false',
        "e3f1_abs: D2:1: has_answer is null, read as false",
        'unknown key "extra" is not read',
        'turns: unknown key "mood" is not read',
      ]),
    );
  });

  it("takes a history without sessions", () => {
    const { conversation, questions } = parse({
      haystack_dates: [],
      haystack_session_ids: [],
      haystack_sessions: [],
      answer_session_ids: [],
    });
    expect(conversation.sessions).toEqual([]);
    expect(questions[0]).toMatchObject({ evidenceTurnIds: [], evidenceSessionIds: [] });
  });
});
