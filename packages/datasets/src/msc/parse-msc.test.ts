import { describe, expect, it } from "vitest";
import { type MscFile, parseMscFileName, readMsc } from "./parse-msc.ts";

// Invented rows in ParlAI's form. One with two earlier sessions, the second of an odd number of turns.
const turns = (...texts: readonly string[]) => texts.map((text) => ({ text }));
const said = (id: string, text: string, more: object = {}) => ({
  text,
  id,
  convai2_id: "valid_1",
  ...more,
});
const row = {
  personas: [["I bake. I have a cat."], ["I sail."]],
  dialog: [
    said("48213", "Is the boat dry? "),
    said("Speaker 2", "It is.", { rating: "poor" }),
    said("Speaker 1", "Good."),
  ],
  metadata: { initial_data_id: "valid_1", session_id: 2 },
  previous_dialogs: [
    {
      personas: [["I bake."], []],
      dialog: turns("I bake.", "I listen."),
      time_num: 2,
      time_unit: "days",
      time_back: "2 days 5 hours ago",
    },
    {
      personas: [["I have a cat."], ["I sail.", "My boat leaks."]],
      dialog: turns("Here is my cat.", "My boat leaks.", "Oh."),
      time_num: 5,
      time_unit: "hours",
      time_back: " 5 hours ago",
    },
  ],
  init_personas: [["i bake."], ["i sail."]],
};
type Row = typeof row;

function fileOf(rows: readonly unknown[], more: Partial<MscFile> = {}): MscFile {
  const text = rows.map((one) => (typeof one === "string" ? one : JSON.stringify(one))).join("\n");
  const bytes = new TextEncoder().encode(`${text}\n`);
  return { path: "session_3_valid.txt", session: 3, part: "valid", bytes, ...more };
}

const read = (...rows: readonly unknown[]) => readMsc("msc", [fileOf(rows)]);
const withMetadata = (metadata: object): Row => ({
  ...row,
  metadata: { ...row.metadata, ...metadata },
});

describe("readMsc", () => {
  it("gives all sessions of a row in order of time, with speakers, times and facts", () => {
    const { dataset, faults } = read(row);
    expect(faults).toEqual([]);
    const fact = (session: number, participant: string, position: number, text: string) => ({
      id: `session_3_valid/valid_1/session_${session}/${participant}/${position}`,
      text,
      participant,
      sourceTurnIds: [],
    });
    expect(dataset?.conversations).toEqual([
      {
        id: "session_3_valid/valid_1",
        participants: ["Speaker 1", "Speaker 2"],
        sessions: [
          {
            id: "session_1",
            dateText: "2 days 5 hours ago",
            turns: [
              { id: "D1:1", speaker: "Speaker 1", text: "I bake." },
              { id: "D1:2", speaker: "Speaker 2", text: "I listen." },
            ],
            facts: [fact(1, "Speaker 1", 0, "I bake.")],
          },
          {
            id: "session_2",
            // Without the space at its beginning.
            dateText: "5 hours ago",
            turns: [
              { id: "D2:1", speaker: "Speaker 1", text: "Here is my cat." },
              { id: "D2:2", speaker: "Speaker 2", text: "My boat leaks." },
              { id: "D2:3", speaker: "Speaker 1", text: "Oh." },
            ],
            facts: [
              fact(2, "Speaker 1", 0, "I have a cat."),
              fact(2, "Speaker 2", 0, "I sail."),
              fact(2, "Speaker 2", 1, "My boat leaks."),
            ],
          },
          {
            id: "session_3",
            dateText: "now",
            turns: [
              // The worker's number; and after a session of three turns Speaker 1 begins all the same.
              { id: "D3:1", speaker: "Speaker 1", text: "Is the boat dry? " },
              { id: "D3:2", speaker: "Speaker 2", text: "It is." },
              { id: "D3:3", speaker: "Speaker 1", text: "Good." },
            ],
            facts: [],
          },
        ],
      },
    ]);
    expect(dataset?.questions).toEqual([]);
    expect(dataset?.notes.slice(1)).toEqual([
      "session_3_valid: turns with a worker's number for a speaker, read as Speaker 1: 1",
      'session_3_valid: turns rated "poor", kept: 1',
      "session_3_valid: earlier sessions with an odd number of turns, after which Speaker 1 begins all the same: 1",
    ]);
  });

  it("does not depend on the order in which the files are given", () => {
    const files = [
      fileOf([row]),
      fileOf([withMetadata({ initial_data_id: "test_4" })], { path: "t", part: "test" }),
      fileOf([withMetadata({ initial_data_id: "train_9" })], { path: "u", part: "train" }),
    ];
    const reading = readMsc("msc", files);
    expect(readMsc("msc", files.toReversed())).toEqual(reading);
    expect(reading.dataset?.splits).toEqual({
      parlai: {
        train: ["session_3_train/train_9"],
        validation: ["session_3_valid/valid_1"],
        test: ["session_3_test/test_4"],
      },
    });
  });

  it("keeps speakers as labelled where they do not alternate, and says so", () => {
    const dialog = [
      said("Speaker 2", "Hello"),
      said("Speaker 2", "Anyone?"),
      said("Speaker 1", "Me"),
    ];
    const { dataset } = read({ ...row, dialog });
    expect(dataset?.conversations[0]?.sessions[2]?.turns.map(({ speaker }) => speaker)).toEqual([
      "Speaker 2",
      "Speaker 2",
      "Speaker 1",
    ]);
    expect(dataset?.notes).toContain(
      "session_3_valid/valid_1: session_3: the speakers do not alternate from Speaker 1 on; they are kept as the file has them",
    );
  });

  it("notes times that do not add up, rows of another session, and keys that it does not read", () => {
    const [first, second] = row.previous_dialogs;
    const odd = {
      ...withMetadata({ session_id: 1, worker: 7 }),
      previous_dialogs: [{ ...first, mood: "good" }],
      extra: 1,
    };
    const { dataset, faults } = read(odd, {
      ...withMetadata({ initial_data_id: "valid_2" }),
      previous_dialogs: [first, { ...second, time_unit: "months", time_back: "a while ago" }],
    });
    expect(faults).toEqual([]);
    expect(dataset?.notes).toEqual(
      expect.arrayContaining([
        'session_3_valid/valid_1: session_1: time_back "2 days 5 hours ago" is not the sum of the gaps (48 hours)',
        "session_3_valid: valid_1 is a row of session 2",
        'session_3_valid: unknown key "extra" is not read',
        'session_3_valid: unknown key "worker" is not read',
        'session_3_valid: unknown key "mood" is not read',
      ]),
    );
    // What cannot be counted in hours is kept.
    expect(dataset?.notes.filter((note) => note.includes("valid_2"))).toEqual([
      'session_3_valid/valid_2: session_2: the gap "5 months" is not counted',
    ]);
    expect(dataset?.conversations[1]?.sessions[1]?.dateText).toBe("a while ago");
  });

  it("finds every fault of every line in one pass", () => {
    const withoutPersonas = { ...row, personas: undefined };
    const { faults, dataset } = read(
      row,
      '{"personas": [',
      "",
      { ...row, dialog: [said("Speaker 3", "Hi"), { id: "Speaker 1", text: 5 }] },
      withMetadata({ initial_data_id: "valid_8", session_id: 4 }),
      withoutPersonas,
      row,
      withMetadata({ initial_data_id: "valid_9" }),
    );
    expect(faults.map(({ line, field, value, problem }) => [line, field, value, problem])).toEqual([
      [2, "", expect.any(String), expect.stringContaining("is not valid JSON")],
      [
        4,
        "dialog.0.id",
        '"Speaker 3"',
        'must be "Speaker 1", "Speaker 2" or the number of a crowd worker',
      ],
      [4, "dialog.1.text", "5", "is a number, must be text"],
      [
        5,
        "previous_dialogs",
        expect.any(String),
        "holds 2 sessions where metadata.session_id says 4",
      ],
      [6, "personas", "", "is missing"],
      [7, "metadata.initial_data_id", '"valid_1"', "is the id of line 1 as well"],
    ]);
    for (const { file, fix } of faults) {
      expect(file).toBe("session_3_valid.txt");
      expect(fix).not.toBe("");
    }
    expect(dataset?.conversations.map(({ id }) => id)).toEqual([
      "session_3_valid/valid_1",
      "session_3_valid/valid_9",
    ]);
  });

  it("says of an empty file that it holds no row", () => {
    for (const text of ["", "\n \n"]) {
      const { faults } = readMsc("msc", [fileOf([], { bytes: new TextEncoder().encode(text) })]);
      expect(faults).toMatchObject([{ problem: "holds no row" }]);
    }
  });
});

it.each([
  ["session_2_valid.txt", { session: 2, part: "valid" }],
  ["/data/msc/session_5_test.txt", { session: 5, part: "test" }],
  ["/data/msc_dialogue/session_4/train.txt", { session: 4, part: "train" }],
  ["session_3\\valid.txt", { session: 3, part: "valid" }],
  ["session_2_dev.txt", undefined],
  ["valid.txt", undefined],
  ["mysession_2_valid.txt", undefined],
  ["/data/session_2_valid.json", undefined],
])("reads session and part from the name %s", (path, expected) => {
  expect(parseMscFileName(path)).toEqual(expected);
});
