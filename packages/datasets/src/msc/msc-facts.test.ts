import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Conversation, Dataset } from "@memory-r1/spec";
import { beforeAll, describe, expect, it } from "vitest";
import { splitDataset } from "../split-dataset.ts";
import { mscDefinition } from "./definitions.ts";

// ParlAI's files of sessions 2 and 3 lie beside the repository, not in it.
const dataDirectory = fileURLToPath(new URL("../../../../../shared/datasets", import.meta.url));
const isMissing = !existsSync(`${dataDirectory}/msc/session_3_valid.txt`);
const note = isMissing ? " (skipped: no ../shared/datasets beside the repository)" : "";

/**
 * Counted by Python 3.11, `json.loads` of each line:
 * - turns: of `dialog` and of `previous_dialogs[*].dialog`; of Speaker 2: `id == "Speaker 2"`, and `len(dialog) // 2` of the previous;
 * - characters: `len` of every `text`; facts: `len(personas[0])` and `len(personas[1])` over `previous_dialogs`;
 * - hoursOnly: `time_back` that begin with a space; odd: `len(dialog) % 2` over `previous_dialogs`;
 * - worker: `id` that are neither "Speaker 1" nor "Speaker 2"; poor: turns with `rating`, which is "poor" in all.
 */
const counted = {
  session_2_valid: {
    conversations: 500,
    sessions: 1000,
    turns: 13_665,
    ofSpeaker2: 6824,
    characters: 1_130_185,
    facts: [2535, 2580],
    hoursOnly: 251,
    odd: 0,
    worker: 43,
    poor: 49,
  },
  session_2_test: {
    conversations: 501,
    sessions: 1002,
    turns: 12_511,
    ofSpeaker2: 6251,
    characters: 1_063_438,
    facts: [2289, 2371],
    hoursOnly: 236,
    odd: 0,
    worker: 29,
    poor: 28,
  },
  session_3_valid: {
    conversations: 500,
    sessions: 1500,
    turns: 19_555,
    ofSpeaker2: 9759,
    characters: 1_845_409,
    facts: [4390, 4533],
    hoursOnly: 389,
    odd: 17,
    worker: 53,
    poor: 47,
  },
  session_3_test: {
    conversations: 501,
    sessions: 1503,
    turns: 18_435,
    ofSpeaker2: 9207,
    characters: 1_810_591,
    facts: [4164, 4321],
    hoursOnly: 358,
    odd: 9,
    worker: 35,
    poor: 26,
  },
} as const;
type FileName = keyof typeof counted;
const fileNames = [
  "session_2_valid",
  "session_2_test",
  "session_3_valid",
  "session_3_test",
] as const;

describe.skipIf(isMissing)(`Multi-Session Chat as published${note}`, () => {
  let dataset: Dataset;
  beforeAll(async () => {
    dataset = await mscDefinition.load({ cacheDirectory: "none", dataDirectory });
  });

  const conversationsOf = (name: FileName): Conversation[] =>
    dataset.conversations.filter(({ id }) => id.startsWith(`${name}/`));
  const turnsOf = ({ sessions }: Conversation) => sessions.flatMap(({ turns }) => turns);

  it("is the files that the counts are of", () => {
    // sha256sum of the four files one after the other, in order of their names.
    expect(dataset.sha256).toBe("166e59939dee0c5030535fd2af53b58be8b3a56ed620484609eab36e46dc5fe1");
    expect(dataset.questions).toEqual([]);
    expect(new Set(dataset.conversations.map(({ id }) => id)).size).toBe(2002);
  });

  it.each(fileNames)("has as many of everything as Python counts in %s", (name) => {
    const conversations = conversationsOf(name);
    const sessions = conversations.flatMap((conversation) => conversation.sessions);
    const turns = sessions.flatMap((session) => session.turns);
    const facts = sessions.flatMap((session) => session.facts);
    const expected = counted[name];
    expect({
      conversations: conversations.length,
      sessions: sessions.length,
      turns: turns.length,
      ofSpeaker2: turns.filter(({ speaker }) => speaker === "Speaker 2").length,
      characters: turns.reduce((sum, { text }) => sum + Array.from(text).length, 0),
      facts: ["Speaker 1", "Speaker 2"].map(
        (speaker) => facts.filter(({ participant }) => participant === speaker).length,
      ),
      hoursOnly: sessions.filter(({ dateText }) => /^\d+ hours? ago$/.test(dateText)).length,
      odd: sessions.filter(
        (session) => session.dateText !== "now" && session.turns.length % 2 === 1,
      ).length,
    }).toEqual({
      conversations: expected.conversations,
      sessions: expected.sessions,
      turns: expected.turns,
      ofSpeaker2: expected.ofSpeaker2,
      characters: expected.characters,
      facts: expected.facts,
      hoursOnly: expected.hoursOnly,
      odd: expected.odd,
    });
  });

  it("notes what was counted, and nothing else: speakers alternate, times add up, ids and keys are known", () => {
    const expected = Object.entries(counted).flatMap(([name, { worker, poor, odd }]) => [
      `${name}: turns with a worker's number for a speaker, read as Speaker 1: ${worker}`,
      `${name}: turns rated "poor", kept: ${poor}`,
      ...(odd === 0
        ? []
        : [
            `${name}: earlier sessions with an odd number of turns, after which Speaker 1 begins all the same: ${odd}`,
          ]),
    ]);
    expect(dataset.notes.slice(1).toSorted()).toEqual(expected.toSorted());
    expect(dataset.notes[0]).toContain("are not read");
  });

  it("lets Speaker 1 begin every session, and the two take turns", () => {
    for (const { sessions } of dataset.conversations) {
      for (const { turns } of sessions) {
        expect(turns.map(({ speaker }) => speaker)).toEqual(
          turns.map((_, index) => (index % 2 === 0 ? "Speaker 1" : "Speaker 2")),
        );
      }
    }
  });

  // Python: the texts of session_2's dialog and of session_3's previous_dialogs[1] are equal in 493 and 501 rows.
  it.each([
    ["valid", 493],
    ["test", 501],
  ] as const)(
    "gives the turns of a past session to those who said them (%s: %i rows)",
    (part, rows) => {
      const later = new Map(
        conversationsOf(`session_3_${part}`).map((one) => [one.id.split("/")[1], one]),
      );
      let same = 0;
      for (const { id, sessions } of conversationsOf(`session_2_${part}`)) {
        // Labelled in the one file, told by position in the other.
        const labelled = sessions[1]?.turns ?? [];
        const byPosition = later.get(id.split("/")[1])?.sessions[1]?.turns ?? [];
        const texts = (turns: typeof labelled): string =>
          JSON.stringify(turns.map(({ text }) => text));
        if (texts(labelled) !== texts(byPosition)) continue;
        same += 1;
        expect(byPosition).toEqual(labelled);
      }
      expect(same).toBe(rows);
    },
  );

  it("splits by ParlAI's parts", () => {
    const { train, validation, test } = splitDataset(dataset, "parlai");
    expect([train, validation, test].map(({ conversations }) => conversations.length)).toEqual([
      0, 1000, 1002,
    ]);
    expect(
      turnsOf(test.conversations[0] ?? { id: "", participants: [], sessions: [] }),
    ).not.toEqual([]);
  });

  it("is sound", async () => {
    expect(await mscDefinition.verify({ cacheDirectory: "none", dataDirectory })).toEqual([]);
  });
});
