import { describe, expect, it } from "vitest";
import { splitDataset } from "../split-dataset.ts";
import {
  mscMiniDefinition,
  selfInstructDefinition,
  selfInstructMiniDefinition,
} from "./definitions.ts";

const textOf = (value: unknown): string => JSON.stringify(value);

describe("msc-mini", () => {
  it("has conversations of two and three sessions in every part, with the oddities of the real files", async () => {
    const dataset = await mscMiniDefinition.load();
    expect(dataset.conversations.map(({ id, sessions }) => [id, sessions.length])).toEqual([
      ["session_2_train/train_0", 2],
      ["session_2_valid/valid_3", 2],
      ["session_3_test/test_0", 3],
      ["session_3_test/test_7", 3],
    ]);
    const { train, validation, test } = splitDataset(dataset, "parlai");
    expect([train, validation, test].map(({ conversations }) => conversations.length)).toEqual([
      1, 1, 2,
    ]);
    expect(dataset.notes.slice(1)).toEqual([
      "session_2_valid: turns with a worker's number for a speaker, read as Speaker 1: 1",
      'session_2_valid: turns rated "poor", kept: 1',
      "session_3_test: turns with a worker's number for a speaker, read as Speaker 1: 2",
      "session_3_test: earlier sessions with an odd number of turns, after which Speaker 1 begins all the same: 2",
    ]);
    expect(
      dataset.conversations.map(({ sessions }) => sessions.map(({ dateText }) => dateText)),
    ).toEqual([
      ["5 hours ago", "now"],
      ["1 day ago", "now"],
      ["3 days 4 hours ago", "4 hours ago", "now"],
      ["3 hours ago", "1 hour ago", "now"],
    ]);
    expect(dataset.questions).toEqual([]);
    expect(await mscMiniDefinition.verify()).toEqual([]);
  });

  it("lets nobody speak out of turn", async () => {
    const { conversations } = await mscMiniDefinition.load();
    for (const { sessions } of conversations) {
      for (const { turns } of sessions) {
        for (const [index, { speaker }] of turns.entries()) {
          expect(speaker).toBe(index % 2 === 0 ? "Speaker 1" : "Speaker 2");
        }
      }
    }
  });
});

describe("msc-self-instruct-mini", () => {
  it("has three conversations of five sessions with facts, and a question that an earlier session can answer", async () => {
    const { conversations, questions, notes } = await selfInstructMiniDefinition.load();
    expect(conversations.map(({ sessions }) => sessions.map(({ facts }) => facts.length))).toEqual([
      [4, 3, 3, 2, 2],
      [5, 2, 2, 3, 2],
      [3, 2, 2, 3, 0],
    ]);
    for (const [index, { id, conversationId, gold = "", answerable }] of questions.entries()) {
      const conversation = conversations[index];
      expect([id, conversationId]).toEqual([`dmr-${index + 1}/question`, `dmr-${index + 1}`]);
      expect(conversation?.id).toBe(conversationId);
      expect(answerable).toBe(true);
      // The one word of the gold answer that matters is said before the last session.
      const word = /noodles|office|1938/i.exec(gold)?.[0] ?? "nothing";
      expect(textOf(conversation?.sessions.slice(0, 4)).toLowerCase()).toContain(
        word.toLowerCase(),
      );
    }
    expect(notes).toEqual([
      "turns with a worker's number for a speaker, read as Speaker 1: 1",
      'turns rated "poor", kept: 1',
      "earlier sessions with an odd number of turns, after which Speaker 1 begins all the same: 6",
    ]);
    expect(await selfInstructMiniDefinition.verify()).toEqual([]);
  });
});

describe("msc-self-instruct", () => {
  it("names its file, and says where it was looked for", async () => {
    expect(selfInstructDefinition.files[0].sha256).toMatch(/^d3dbea36[0-9a-f]{56}$/);
    await expect(
      selfInstructDefinition.load({ cacheDirectory: "none", download: false }),
    ).rejects.toThrow(/MSC-Self-Instruct .* is not in/);
  });
});
