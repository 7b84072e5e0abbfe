import { graded, type Outcome, ungraded } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { chooseScorers, type PredictionLine, scorers } from "./scorers.ts";

const empty: PredictionLine = {
  prediction: undefined,
  answer: undefined,
  category: undefined,
  contextIds: undefined,
  evidence: undefined,
};

function scoreBy(name: string, line: Partial<PredictionLine>): Outcome | undefined {
  return scorers[name]?.score({ ...empty, ...line });
}

describe("scorers", () => {
  it("score answers by their metric, with the category's rule", () => {
    expect(scoreBy("squad-f1", { prediction: "green tea", answer: "tea" })).toEqual(graded(2 / 3));
    const line = { prediction: "yoga", answer: "yoga, surfing" };
    // Category 1 is scored by the parts of the gold, of which one is hit; without a category by all words: 2 * 1 * 1/2 / 1.5.
    expect(scoreBy("locomo-f1", { ...line, category: "1" })).toEqual(graded(0.5));
    expect(scoreBy("locomo-f1", line)).toEqual(graded(2 / 3));
  });

  it("leave what lacks a side ungraded", () => {
    expect(scoreBy("squad-em", { answer: "tea" })).toEqual(ungraded("no prediction"));
    expect(scoreBy("squad-em", { prediction: "tea" })).toEqual(ungraded("no gold answer"));
    expect(scoreBy("squad-em", { prediction: "", answer: "tea" })).toEqual(graded(0));
    expect(scoreBy("evidence-recall", { evidence: ["a"] })).toEqual(ungraded("no contextIds"));
    expect(scoreBy("evidence-recall", { contextIds: ["a"] })).toEqual(ungraded("no evidence"));
    expect(scoreBy("evidence-recall", { contextIds: ["a"], evidence: [] })).toEqual(
      ungraded("no evidence"),
    );
  });

  it("score retrieval by the share of the evidence that is there", () => {
    const evidence = ["D1:1", "D1:2", "D2:1", "D2:2"];
    expect(scoreBy("evidence-recall", { contextIds: ["D1:2"], evidence })).toEqual(graded(0.25));
    expect(scoreBy("evidence-recall", { contextIds: [], evidence })).toEqual(graded(0));
    expect(scoreBy("evidence-recall", { contextIds: ["x", ...evidence], evidence })).toEqual(
      graded(1),
    );
  });

  it("say what they are", () => {
    for (const [name, { description, source }] of Object.entries(scorers)) {
      expect(description, name).not.toBe("");
      expect(source, name).not.toBe("");
    }
  });
});

describe("chooseScorers", () => {
  it("keeps the order, each once, and lists the names where one is unknown", () => {
    expect([...chooseScorers(["squad-em", "mem0-f1", "squad-em"]).keys()]).toEqual([
      "squad-em",
      "mem0-f1",
    ]);
    expect(() => chooseScorers(["squad-f2"])).toThrow(/There is no metric "squad-f2".*squad-f1/);
    expect(() => chooseScorers(["toString"])).toThrow('There is no metric "toString"');
  });
});
