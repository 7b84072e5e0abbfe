import type { Dataset } from "@memory-r1/spec";
import { beforeAll, describe, expect, it } from "vitest";
import {
  longMemEvalMDefinition,
  longMemEvalMiniDefinition,
  longMemEvalOracleDefinition,
  longMemEvalSDefinition,
} from "./definitions.ts";

describe("the mini set", () => {
  let dataset: Dataset;
  beforeAll(async () => {
    dataset = await longMemEvalMiniDefinition.load();
  });

  it("has a question of every type, one of them unanswerable", () => {
    expect(dataset.name).toBe("longmemeval-mini");
    expect(
      dataset.questions.map(({ id, category, answerable }) => [
        id,
        category.names["memory-r1"],
        answerable,
      ]),
    ).toEqual([
      ["mini_user_1", "SSU", true],
      ["mini_preference_1", "SSP", true],
      ["mini_assistant_1", "OD", true],
      ["mini_multi_1", "MS", true],
      ["mini_update_1", "KU", true],
      ["mini_temporal_1", "TR", true],
      ["mini_multi_2_abs", "MS", false],
      ["mini_user_2", "SSU", true],
    ]);
  });

  it("has every oddity of the real files: a number for an answer, sessions out of order, empty or with one id", () => {
    expect(dataset.notes).toEqual([
      "mini_multi_1: the answer is a number, read as text",
      "mini_temporal_1: sessions were put in order of time; their positions in the file are 2, 1",
      "mini_user_2: sessions 1 and 4 of the file have the same id filler_kayak: both are kept",
      "mini_user_2: session_2 (filler_empty) is empty",
    ]);
    expect(dataset.questions[3]?.gold).toBe("3");
  });

  it("has sessions in order of time before the question, and evidence that is there", () => {
    for (const [index, { id, sessions }] of dataset.conversations.entries()) {
      const question = dataset.questions[index];
      expect(question?.conversationId).toBe(id);
      const times = sessions.map(({ dateTime = "" }) => dateTime);
      expect(times).toEqual(times.toSorted());
      expect((times.at(-1) ?? "") < (question?.dateTime ?? "")).toBe(true);
      const evidence = sessions.filter((session) =>
        question?.evidenceSessionIds?.includes(session.id),
      );
      expect(evidence.length).toBeGreaterThan(0);
      const turnIds = evidence.flatMap(({ turns }) => turns.map((turn) => turn.id));
      expect(question?.evidenceTurnIds.length).toBeGreaterThan(0);
      expect(turnIds).toEqual(expect.arrayContaining([...(question?.evidenceTurnIds ?? [])]));
    }
  });

  it("is the same read one question at a time, and sound", async () => {
    const conversations = [];
    const questions = [];
    for await (const part of longMemEvalMiniDefinition.read()) {
      conversations.push(part.conversation);
      questions.push(...part.questions);
    }
    expect(conversations).toEqual(dataset.conversations);
    expect(questions).toEqual(dataset.questions);
    expect(await longMemEvalMiniDefinition.verify()).toEqual([]);
  });
});

describe("the real files", () => {
  const options = { cacheDirectory: "none", download: false } as const;

  it("are named with address, size and checksum", () => {
    const files = [
      longMemEvalOracleDefinition,
      longMemEvalSDefinition,
      longMemEvalMDefinition,
    ].flatMap(({ files: found }) => found);
    expect(
      files.map(({ name, sizeBytes, sha256 }) => [name, sizeBytes, sha256?.slice(0, 8)]),
    ).toEqual([
      ["longmemeval_oracle.json", 15_388_478, "821a2034"],
      ["longmemeval_s_cleaned.json", 277_383_467, "d6f21ea9"],
      ["longmemeval_m_cleaned.json", 2_737_100_077, "9d79e552"],
    ]);
    for (const { url, sha256 } of files) {
      expect(url).toMatch(/\/xiaowu0162\/longmemeval-cleaned\/resolve\/98d7416c[0-9a-f]{32}\//);
      expect(sha256).toMatch(/^[0-9a-f]{64}$/);
    }
  });

  it("are looked for, and M is not loaded whole whatever lies there", async () => {
    await expect(longMemEvalSDefinition.load(options)).rejects.toThrow(
      /LongMemEval S .* is not in/,
    );
    await expect(longMemEvalMDefinition.load(options)).rejects.toThrow(
      /LongMemEval M is too large to be held in memory: read it one question at a time, with `datasets\["longmemeval-m"\]\.read\(options\)`/,
    );
    await expect(longMemEvalMDefinition.read(options).next()).rejects.toThrow(
      /LongMemEval M .* is not in/,
    );
  });
});
