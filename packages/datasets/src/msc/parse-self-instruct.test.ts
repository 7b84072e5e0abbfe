import { describe, expect, it } from "vitest";
import { readSelfInstruct } from "./parse-self-instruct.ts";

// Invented lines in the form of msc_self_instruct.jsonl, with two earlier sessions instead of four.
const previous = (texts: readonly string[], gap: readonly [number, string, string]) => ({
  personas: [["not read"], []],
  dialog: texts.map((text) => ({ text })),
  time_num: gap[0],
  time_unit: gap[1],
  time_back: gap[2],
});
const row = {
  personas: [["x"], ["y"]],
  dialog: [
    { text: "Back again!", id: "Speaker 1", convai2_id: "valid_0" },
    { text: "Welcome.", id: "Speaker 2", convai2_id: "valid_0" },
  ],
  metadata: { initial_data_id: "valid_0", session_id: 4 },
  previous_dialogs: [
    previous(["I keep bees.", "I keep quiet.", "Ha."], [1, "day", "1 day 2 hours ago"]),
    previous(["The bees swarmed.", "Where to?"], [2, "hours", " 2 hours ago"]),
  ],
  init_personas: [["a"], ["b"]],
  personas_update1: ["x"],
  personas_update2: ["y"],
  self_instruct: { B: "What do you keep again?", A: "Bees, a lot of them." },
  summary_speaker_1: [["I keep bees."], ["My bees swarmed.", "I was stung."], []],
  summary_speaker_2: [["I am quiet."], []],
};

const read = (...rows: readonly unknown[]) =>
  readSelfInstruct(new TextEncoder().encode(rows.map((one) => JSON.stringify(one)).join("\n")), {
    name: "msc-self-instruct",
    source: "msc_self_instruct.jsonl",
  });

describe("readSelfInstruct", () => {
  it("gives the sessions with speakers and times, the summaries as facts, and B's question with A's reply", () => {
    const { dataset, faults } = read(row);
    expect(faults).toEqual([]);
    const [conversation] = dataset.conversations;
    expect(conversation?.id).toBe("dmr-1");
    expect(
      conversation?.sessions.map(({ id, dateText, turns, facts }) => [
        id,
        dateText,
        turns.map(({ id: turnId, speaker, text }) => `${turnId} ${speaker}: ${text}`),
        facts.map(({ participant, text }) => `${participant}: ${text}`),
      ]),
    ).toEqual([
      [
        "session_1",
        "1 day 2 hours ago",
        ["D1:1 Speaker 1: I keep bees.", "D1:2 Speaker 2: I keep quiet.", "D1:3 Speaker 1: Ha."],
        ["Speaker 1: I keep bees.", "Speaker 2: I am quiet."],
      ],
      [
        "session_2",
        "2 hours ago",
        ["D2:1 Speaker 1: The bees swarmed.", "D2:2 Speaker 2: Where to?"],
        ["Speaker 1: My bees swarmed.", "Speaker 1: I was stung."],
      ],
      ["session_3", "now", ["D3:1 Speaker 1: Back again!", "D3:2 Speaker 2: Welcome."], []],
    ]);
    expect(conversation?.sessions.every((session) => session.dateTime === undefined)).toBe(true);
    expect(dataset.questions).toEqual([
      {
        id: "dmr-1/question",
        conversationId: "dmr-1",
        text: "What do you keep again?",
        gold: "Bees, a lot of them.",
        category: { code: "dmr", names: { official: "deep memory retrieval" } },
        evidenceTurnIds: [],
        answerable: true,
      },
    ]);
    expect(dataset.splits).toEqual({});
    expect(dataset.notes).toEqual([
      "earlier sessions with an odd number of turns, after which Speaker 1 begins all the same: 1",
    ]);
  });

  it("takes summaries and personas in other forms than described, with a note where facts are lost", () => {
    const { dataset, faults } = read(
      {
        ...row,
        summary_speaker_1: "one text",
        summary_speaker_2: null,
        personas: 5,
        init_personas: null,
        metadata: "gone",
        previous_dialogs: row.previous_dialogs.map((dialog) => ({
          ...dialog,
          personas: undefined,
        })),
      },
      {
        ...row,
        summary_speaker_1: [["a"], ["b"], ["c"], ["d"]],
        summary_speaker_2: [[7, "I am quiet."], "I left."],
        self_instruct: { ...row.self_instruct, mood: "good" },
      },
    );
    expect(faults).toEqual([]);
    const factsOf = (index: number): string[] =>
      dataset.conversations[index]?.sessions.flatMap(({ facts }) =>
        facts.map(({ text }) => text),
      ) ?? [];
    expect(factsOf(0)).toEqual([]);
    expect(factsOf(1)).toEqual(["a", "I am quiet.", "b", "c"]);
    expect(dataset.notes).toEqual(
      expect.arrayContaining([
        'dmr-1: summary_speaker_1 is no list of lists of facts and is not read: "one text"',
        "dmr-1: summary_speaker_2 is no list of lists of facts and is not read: null",
        'dmr-2: summary_speaker_1.3 is no list for a session that there is and is not read: ["d"]',
        "dmr-2: summary_speaker_2.0.0 is no text and is not read: 7",
        'dmr-2: summary_speaker_2.1 is no list of facts and is not read: "I left."',
        'unknown key "mood" is not read',
      ]),
    );
  });

  it("finds every fault of every line in one pass, and counts conversations by line", () => {
    const withoutQuestion = { ...row, self_instruct: undefined };
    const { dataset, faults } = read(
      withoutQuestion,
      row,
      { ...row, self_instruct: { A: "", B: 5 }, dialog: [] },
      { ...row, previous_dialogs: [{ ...row.previous_dialogs[0], time_back: undefined }] },
    );
    expect(faults.map(({ line, field, problem }) => [line, field, problem])).toEqual([
      [1, "self_instruct", "is missing"],
      [3, "dialog", "holds no turn"],
      [3, "self_instruct.B", "is a number, must be text"],
      [3, "self_instruct.A", expect.any(String)],
      [4, "previous_dialogs.0.time_back", "is missing"],
    ]);
    expect(dataset.conversations.map(({ id }) => id)).toEqual(["dmr-2"]);
    expect(read().faults).toMatchObject([{ problem: "holds no row" }]);
  });
});
