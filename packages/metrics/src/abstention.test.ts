import { graded, ungraded } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import {
  judgedAbstentionItem,
  refusalReply,
  scoreRefusal,
  scoreWithAbstention,
  summariseAbstention,
} from "./abstention.ts";

const category = { code: "4", names: {} };

describe("scoreWithAbstention", () => {
  it("asks unanswerable questions for a refusal, whatever their gold", () => {
    const question = { answerable: false, gold: "No", category: { code: "5", names: {} } };
    expect(scoreWithAbstention("locomo-f1", "It is not mentioned.", question)).toEqual({
      answerable: false,
      outcome: graded(1),
      refusalScore: 1,
    });
    expect(scoreWithAbstention("mem0-f1", "No", question).outcome).toEqual(graded(0));
    expect(scoreRefusal(refusalReply)).toEqual(graded(1));
    expect(scoreRefusal("")).toEqual(graded(0));
  });

  it("scores answerable ones by the metric, and knows what a refusal would get there", () => {
    expect(
      scoreWithAbstention("squad-f1", "green tea", { answerable: true, gold: "tea", category }),
    ).toMatchObject({ answerable: true, outcome: { score: 2 / 3 }, refusalScore: 0 });
    // "information" is one of three words said and one of two expected: 2 * 1/3 * 1/2 / (5/6) = 0.4.
    const item = scoreWithAbstention("squad-f1", "maps", {
      answerable: true,
      gold: "information leaflets",
      category,
    });
    expect(item.refusalScore).toBeCloseTo(0.4, 12);
  });

  it("leaves a question without gold ungraded", () => {
    const item = scoreWithAbstention("squad-f1", "tea", { answerable: true, category });
    expect(item.outcome).toEqual(ungraded("no gold answer"));
  });
});

describe("summariseAbstention", () => {
  it("gives both scores, and what always refusing gets on the same questions", () => {
    const summary = summariseAbstention([
      judgedAbstentionItem(false, graded(1)),
      judgedAbstentionItem(false, graded(0)),
      judgedAbstentionItem(false, ungraded("failed")),
      judgedAbstentionItem(true, graded(1)),
      judgedAbstentionItem(true, graded(0)),
      judgedAbstentionItem(true, graded(1)),
    ]);
    expect(summary).toEqual({
      unanswerable: { mean: 0.5, graded: 2, ungraded: 1, alwaysRefusing: 1 },
      answerable: { mean: 2 / 3, graded: 3, ungraded: 0, alwaysRefusing: 0 },
      // 3 of 5; always refusing gets the two unanswerable ones that were graded.
      all: { mean: 0.6, graded: 5, ungraded: 1, alwaysRefusing: 0.4 },
    });
  });

  it("has no score of nothing", () => {
    expect(summariseAbstention([]).all).toEqual({
      mean: undefined,
      graded: 0,
      ungraded: 0,
      alwaysRefusing: undefined,
    });
  });
});
