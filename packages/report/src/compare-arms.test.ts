import { graded } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { records } from "./__fixtures__/records.ts";
import { compareArms } from "./compare-arms.ts";

describe("compareArms", () => {
  const rag = { system: "RAG", arm: "" };
  const grpo = { system: "GRPO", arm: "" };

  it("averages the differences over the questions that both were graded on", () => {
    // b: 0.75 - 0.5 = 0.25, c: 0.75 - 0.25 = 0.5; a is ungraded on one side.
    const comparison = compareArms(records, { metric: "f1", first: grpo, second: rag });
    expect(comparison).toMatchObject({
      mean: 0.375,
      interval: { low: 0.25, high: 0.5 },
      count: 2,
      leftOut: 1,
      // b and c are of one conversation.
      macro: { mean: 0.375, interval: undefined, clusters: 1 },
    });
    expect(compareArms(records, { metric: "f1", first: rag, second: grpo })).toMatchObject({
      mean: -0.375,
    });
  });

  it("pairs by question, not by position", () => {
    const reversed = [...records].reverse();
    expect(compareArms(reversed, { metric: "f1", first: grpo, second: rag })).toMatchObject({
      mean: 0.375,
      count: 2,
    });
  });

  it("is undefined where nothing can be compared", () => {
    expect(compareArms(records, { metric: "bleu", first: grpo, second: rag })).toBeUndefined();
    expect(
      compareArms(records, { metric: "f1", first: grpo, second: { system: "Mem0", arm: "" } }),
    ).toBeUndefined();
  });

  it("draws conversations for the macro difference, and leaves known issues out where asked", () => {
    const graded3 = records.map((one) =>
      one.questionId === "a"
        ? { ...one, outcomes: { f1: graded(one.system === "RAG" ? 1 : 0) } }
        : one,
    );
    const comparison = { metric: "f1", first: grpo, second: rag };
    // x: 0 - 1 = -1; y: (0.25 + 0.5) / 2 = 0.375.
    expect(compareArms(graded3, comparison)).toMatchObject({
      mean: -0.25 / 3,
      macro: { mean: -0.3125, interval: { low: -1, high: 0.375 }, clusters: 2 },
    });
    const known = graded3.map((one) => ({ ...one, hasCorruptGold: one.questionId === "a" }));
    expect(compareArms(known, comparison, { knownIssues: "exclude" })).toMatchObject({
      mean: 0.375,
      count: 2,
      leftOut: 0,
    });
  });

  it("pairs answers of the same seed", () => {
    const seeded = [1, 2].flatMap((seed) =>
      records.flatMap((one) => {
        // Under seed 2 GRPO is no better than RAG.
        const same = seed === 2 && one.system === "GRPO";
        const twin = records.find((r) => r.system === "RAG" && r.questionId === one.questionId);
        return [{ ...one, seed, outcomes: (same ? twin : one)?.outcomes ?? {} }];
      }),
    );
    // Seed 1: b 0.25, c 0.5, a ungraded; seed 2: 0, 0, 0. Questions: a 0 of 1, b 0.25 of 2, c 0.5 of 2.
    expect(compareArms(seeded, { metric: "f1", first: grpo, second: rag })).toMatchObject({
      mean: 0.75 / 5,
      interval: { low: 0, high: 0.25 },
      count: 5,
      leftOut: 1,
    });
  });
});
