import { createHash } from "node:crypto";
import { DataFormatError } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { parseLocomo } from "./parse-locomo.ts";

// Invented data in the file's schema.
const sample = {
  sample_id: "conv-x",
  conversation: {
    speaker_a: "Ann",
    speaker_b: "Bo",
    session_2_date_time: "9:00 am on 3 May, 2021",
    session_2: [{ speaker: "Ann", dia_id: "D2:1", text: "Bye." }],
    session_1_date_time: "1:05 pm on 2 May, 2021",
    session_1: [
      { speaker: "Ann", dia_id: "D1:1", text: " Hi! " },
      {
        speaker: "Bo",
        dia_id: "D1:2",
        text: "Look.",
        blip_caption: "a photo of a kite",
        img_url: ["x"],
        query: "kite",
      },
      { speaker: "Bo", dia_id: "D1:3", text: "It is red." },
    ],
    session_3_date_time: "9:00 am on 4 May, 2021",
  },
  qa: [
    { question: "How many kites?", answer: 2, evidence: ["D1:2"], category: 1 },
    { question: "What colour?", answer: "red", evidence: ["D1:2; D1:3", "D7:1"], category: 4 },
    { question: "Who flew the plane?", adversarial_answer: "Bo", evidence: ["D1:2"], category: 5 },
    {
      question: "Is it a plane?",
      answer: "No",
      adversarial_answer: "Yes",
      evidence: [],
      category: 5,
    },
  ],
  observation: {
    session_1_observation: {
      Ann: [["Ann says hi.", "D1:1"]],
      Bo: [
        ["Bo's kite is red.", ["D1:3", "D1:2"]],
        ["Bo has a kite.", "D1:2, D1:3"],
      ],
    },
  },
  session_summary: {},
  event_summary: {},
};

const parse = (value: unknown) =>
  parseLocomo(new TextEncoder().encode(JSON.stringify(value)), {
    name: "test",
    source: "test.json",
  });

describe("parseLocomo", () => {
  const dataset = parse([sample]);

  it("reads sessions by number with parsed dates, texts and captions as written", () => {
    const [conversation] = dataset.conversations;
    expect(conversation?.id).toBe("conv-x");
    expect(conversation?.participants).toEqual(["Ann", "Bo"]);
    expect(
      conversation?.sessions.map(({ id, dateText, dateTime }) => [id, dateText, dateTime]),
    ).toEqual([
      ["session_1", "1:05 pm on 2 May, 2021", "2021-05-02T13:05"],
      ["session_2", "9:00 am on 3 May, 2021", "2021-05-03T09:00"],
    ]);
    expect(conversation?.sessions[0]?.turns).toEqual([
      { id: "D1:1", speaker: "Ann", text: " Hi! " },
      { id: "D1:2", speaker: "Bo", text: "Look.", imageCaption: "a photo of a kite" },
      { id: "D1:3", speaker: "Bo", text: "It is red." },
    ]);
  });

  it("orders facts by their first source turn, then as in the file, and reads every form of ids", () => {
    expect(dataset.conversations[0]?.sessions[0]?.facts).toEqual([
      {
        id: "conv-x/session_1/Ann/0",
        text: "Ann says hi.",
        participant: "Ann",
        sourceTurnIds: ["D1:1"],
      },
      {
        id: "conv-x/session_1/Bo/0",
        text: "Bo's kite is red.",
        participant: "Bo",
        sourceTurnIds: ["D1:2", "D1:3"],
      },
      {
        id: "conv-x/session_1/Bo/1",
        text: "Bo has a kite.",
        participant: "Bo",
        sourceTurnIds: ["D1:2", "D1:3"],
      },
    ]);
    expect(dataset.conversations[0]?.sessions[1]?.facts).toEqual([]);
  });

  it("gives questions ids by position, text gold, both category names and existing evidence", () => {
    expect(dataset.questions[0]).toEqual({
      id: "conv-x/qa-0",
      conversationId: "conv-x",
      text: "How many kites?",
      gold: "2",
      category: {
        code: "1",
        names: { official: "multi-hop", mem0: "single-hop", memorybench: "single-hop" },
      },
      evidenceTurnIds: ["D1:2"],
      answerable: true,
    });
    expect(dataset.questions[1]?.evidenceTurnIds).toEqual(["D1:2", "D1:3"]);
  });

  it("never takes adversarial_answer for gold", () => {
    expect(dataset.questions[2]).not.toHaveProperty("gold");
    expect(dataset.questions[2]?.answerable).toBe(false);
    expect(dataset.questions[3]).toMatchObject({ gold: "No", answerable: true });
  });

  it("notes what is odd, and nothing else", () => {
    expect(dataset.notes).toEqual([
      "conv-x: session_3 has a date and no turns",
      "conv-x/qa-0: the answer is a number, read as text",
      'conv-x/qa-1: evidence reference "D1:2; D1:3" read as 2 turns',
      'conv-x/qa-1: evidence reference "D7:1" names no turn: dropped',
    ]);
  });

  it("has the sha256 of the bytes that were parsed", () => {
    expect(dataset.sha256).toBe(
      createHash("sha256")
        .update(JSON.stringify([sample]))
        .digest("hex"),
    );
  });

  it("reports keys that it does not read", () => {
    const [firstTurn] = sample.conversation.session_2;
    const extended = {
      ...sample,
      mood: "good",
      conversation: {
        ...sample.conversation,
        place: "home",
        session_2: [{ ...firstTurn, voice: "x.wav" }],
      },
    };
    expect(parse([extended]).notes).toEqual(
      expect.arrayContaining([
        'samples: unknown key "mood" is not read',
        'conv-x: unknown key "place" is not read',
        'conv-x turns: unknown key "voice" is not read',
      ]),
    );
  });

  it("notes a date, a speaker and a missing answer that it cannot place", () => {
    const changed = {
      ...sample,
      conversation: {
        ...sample.conversation,
        session_2_date_time: "soon",
        session_2: [{ speaker: "Cy", dia_id: "D2:1", text: "Yo" }],
      },
      qa: [{ question: "Why?", evidence: [], category: 4 }],
    };
    const dataset = parse([changed]);
    expect(dataset.conversations[0]?.sessions[1]).not.toHaveProperty("dateTime");
    expect(dataset.questions[0]).toMatchObject({ answerable: false });
    expect(dataset.notes).toEqual(
      expect.arrayContaining([
        'conv-x/session_2: date "soon" is not "H:MM am|pm on D Month, YYYY"',
        'conv-x/D2:1: speaker "Cy" is none of the two participants',
        "conv-x/qa-0: no answer, though its category has answers: ungraded",
      ]),
    );
  });

  it.each([
    ["no JSON", "[{", /test\.json: not valid JSON/],
    ["an empty list", "[]", /test\.json/],
    [
      "a category out of range",
      JSON.stringify([{ ...sample, qa: [{ ...sample.qa[0], category: 6 }] }]),
      /0\.qa\.0\.category/,
    ],
    [
      "a session that is no list",
      JSON.stringify([{ ...sample, conversation: { ...sample.conversation, session_1: 3 } }]),
      /conv-x session_1/,
    ],
    [
      "a session without a date",
      JSON.stringify([
        { ...sample, conversation: { ...sample.conversation, session_1_date_time: undefined } },
      ]),
      /session_1_date_time/,
    ],
    ["one sample twice", JSON.stringify([sample, sample]), /"conv-x" is used for more than one/],
    [
      "one turn id twice",
      JSON.stringify([
        {
          ...sample,
          conversation: {
            ...sample.conversation,
            session_2: [{ speaker: "Ann", dia_id: "D1:1", text: "Yo" }],
          },
        },
      ]),
      /dia_id "D1:1" is used for more than one turn/,
    ],
  ])("refuses %s with the place", (_, text, message) => {
    const run = () =>
      parseLocomo(new TextEncoder().encode(text), { name: "test", source: "test.json" });
    expect(run).toThrow(DataFormatError);
    expect(run).toThrow(message);
  });
});
