import { createHash } from "node:crypto";
import { DataFormatError } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { parseLocomo, readLocomo } from "./parse-locomo.ts";

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
  session_summary: { session_1_summary: "They talk about a kite.", session_7_summary: "?" },
  event_summary: {
    events_session_1: { Ann: ["Ann moves."], Bo: ["", "Bo buys a kite."], date: "2 May, 2021" },
    events_session_2: { Ann: [], Bo: [], date: "9 May, 2021", mood: "good" },
  },
};

const parse = (value: unknown) =>
  parseLocomo(new TextEncoder().encode(JSON.stringify(value)), {
    name: "test",
    source: "test.json",
  });

describe("readLocomo", () => {
  it("finds every fault of the conversations and sessions in one pass", () => {
    const faulty = {
      ...sample,
      conversation: {
        ...sample.conversation,
        session_1_date_time: 5,
        session_2: [
          { speaker: "Ann", dia_id: "D2:1", text: "" },
          { speaker: "Ann", text: "x" },
        ],
      },
    };
    const bytes = new TextEncoder().encode(JSON.stringify([faulty, sample]));
    const { faults } = readLocomo(bytes, { name: "test", source: "test.json" });
    expect(faults.map(({ field, problem }) => [field, problem])).toEqual([
      ["0.conversation.session_1_date_time", "is a number, must be text"],
      ["0.conversation.session_2.0.text", "is empty"],
      ["0.conversation.session_2.1.dia_id", "is missing"],
      ["1.sample_id", 'sample_id "conv-x" is used for more than one conversation'],
    ]);
  });
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
      {
        id: "D1:2",
        speaker: "Bo",
        text: "Look.",
        imageCaption: "a photo of a kite",
        imageUrls: ["x"],
      },
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

  it("reads summaries and events; a session without them has none", () => {
    const [first, second] = dataset.conversations[0]?.sessions ?? [];
    expect(first).toMatchObject({
      summary: "They talk about a kite.",
      events: [
        { participant: "Ann", text: "Ann moves." },
        { participant: "Bo", text: "Bo buys a kite." },
      ],
    });
    expect(second).not.toHaveProperty("summary");
    expect(second?.events).toEqual([]);
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
    expect(dataset.questions[2]).toMatchObject({ answerable: false, adversarialAnswer: "Bo" });
    expect(dataset.questions[3]).toMatchObject({
      gold: "No",
      answerable: true,
      adversarialAnswer: "Yes",
      category: { code: "5", isAdversarial: true },
    });
  });

  it("notes what is odd, and nothing else", () => {
    expect(dataset.notes).toEqual([
      'conv-x: session_3 has a date ("9:00 am on 4 May, 2021") and no turns',
      'conv-x session_summary: unknown key "session_7_summary" is not read',
      "conv-x/events_session_1: an event of Bo is empty: dropped",
      'conv-x/events_session_2: date "9 May, 2021" is not the session\'s: not read',
      'conv-x/events_session_2: "mood" is text and no list of events: not read',
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
        'conv-x/D2:1: "Cy" is none of the two participants',
        "conv-x/qa-0: no answer, though its category has answers: ungraded",
      ]),
    );
  });

  it.each([
    ["no JSON", "[{", /test\.json, line 1: is not valid JSON/],
    ["an empty list", "[]", /test\.json/],
    [
      "a category out of range",
      JSON.stringify([{ ...sample, qa: [{ ...sample.qa[0], category: 6 }] }]),
      /0\.qa\.0\.category/,
    ],
    [
      "a session that is no list",
      JSON.stringify([{ ...sample, conversation: { ...sample.conversation, session_1: 3 } }]),
      /0\.conversation\.session_1: is a number, must be a list \(found 3\)/,
    ],
    [
      "an answer with more digits than a number keeps",
      JSON.stringify([{ ...sample, qa: [sample.qa[1]] }]).replace('"red"', "12345678901234567890"),
      /0\.qa\.0\.answer: must be text or a whole number/,
    ],
    ["a key twice", '[{"sample_id": "a", "sample_id": "b"}]', /0\.sample_id: stands twice/],
    ["nesting without end", `[${"[".repeat(200)}${"]".repeat(200)}]`, /nested more than 100 deep/],
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
