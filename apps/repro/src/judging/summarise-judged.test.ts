import { renderText } from "@memory-r1/report";
import { graded, type Outcome, ungraded } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { judgedTables, summariseJudged } from "./summarise-judged.ts";
import type { JudgedLine } from "./verdict.ts";

let lines = 0;

function line(outcomes: readonly Outcome[], more: Partial<JudgedLine> = {}): JudgedLine {
  const scores = outcomes.flatMap((one) => (one.status === "graded" ? [one.score] : []));
  const reason = outcomes.find((one) => one.status === "ungraded")?.reason;
  lines += 1;
  return {
    question: "?",
    prediction: "x",
    line: lines,
    key: String(lines),
    score:
      scores.length === 0 ? null : scores.reduce((sum, score) => sum + score, 0) / scores.length,
    ...(reason === undefined ? {} : { reason }),
    verdicts: outcomes.map((outcome, seed) => ({
      judge: "mem0-j",
      model: "m",
      prompt: "p",
      promptSha256: "0",
      temperature: 0,
      maxTokens: 64,
      constrained: true,
      seed,
      ...(outcome.status === "ungraded" && outcome.reason.startsWith("the call")
        ? {}
        : { reply: "r" }),
      outcome,
    })),
    ...more,
  };
}

describe("summariseJudged", () => {
  it("gives mean, Wilson's interval and counts, over all and by category", () => {
    const summary = summariseJudged(
      [
        line([graded(1)], { category: "1" }),
        line([graded(1)], { category: "1" }),
        line([graded(1)], { category: "2" }),
        line([graded(0)], { category: "2" }),
        line([ungraded("no verdict: x")], { category: "2" }),
        line([ungraded("the call failed: y")]),
      ],
      "mem0-j",
    );
    expect(summary).toMatchObject({ mean: 0.75, graded: 4, ungraded: 2, failedCalls: 1 });
    // statsmodels 0.15.0, 3 of 4.
    expect(summary.interval?.low).toBeCloseTo(0.30064184258240184, 12);
    expect(summary.categories).toMatchObject([
      { category: "1", mean: 1, graded: 2, ungraded: 0 },
      { category: "2", mean: 0.5, graded: 2, ungraded: 1 },
    ]);
    expect(summary.ungradedReasons).toEqual({ "no verdict: x": 1, "the call failed: y": 1 });
    expect(summary.abstention).toBeUndefined();
  });

  it("gives J over runs as mean ± deviation, and a bootstrap interval where runs disagree", () => {
    // Runs: 1, 0.5, 0.5: mean 2/3, deviation sqrt((1/9 + 1/36 + 1/36) / 2) = sqrt(1/12).
    const summary = summariseJudged(
      [line([graded(1), graded(1), graded(0)]), line([graded(1), graded(0), graded(1)])],
      "mem0-j",
    );
    expect(summary.runs.scores).toEqual([1, 0.5, 0.5]);
    expect(summary.runs.standardDeviation).toBeCloseTo(Math.sqrt(1 / 12), 12);
    expect(summary.mean).toBeCloseTo(2 / 3, 12);
    expect(summary.interval?.low).toBeCloseTo(2 / 3, 12);
    const text = judgedTables(summary, "t", "mem0-j").map(renderText).join("");
    expect(text).toContain("J over 3 runs: 0.667 ± 0.289");
  });

  it("scores abstention by LoCoMo's rule where the judge has none, beside always refusing", () => {
    const refused = { answerable: false, prediction: "Not mentioned." };
    const noRule = ungraded("this judge has no rule for unanswerable questions");
    const summary = summariseJudged(
      [
        line([graded(1)]),
        line([graded(0)]),
        line([noRule], refused),
        line([noRule], { id: "q_abs", prediction: "tea" }),
        line([noRule], { answerable: false, prediction: null }),
      ],
      "mem0-j",
    );
    expect(summary).toMatchObject({ mean: 0.5, graded: 2, ungraded: 3 });
    expect(summary.abstention).toEqual({
      unanswerable: { mean: 0.5, graded: 2, ungraded: 1, alwaysRefusing: 1 },
      answerable: { mean: 0.5, graded: 2, ungraded: 0, alwaysRefusing: 0 },
      all: { mean: 0.5, graded: 4, ungraded: 1, alwaysRefusing: 0.5 },
    });
    const [, table] = judgedTables(summary, "t", "mem0-j");
    expect(table?.notes.join()).toContain("LoCoMo's rule");
  });

  it("takes the verdict where the judge has a rule for them", () => {
    const summary = summariseJudged(
      [line([graded(1)], { answerable: false, prediction: "I cannot know" }), line([graded(0)])],
      "longmemeval",
    );
    expect(summary.abstention?.unanswerable.mean).toBe(1);
    expect(summary).toMatchObject({ mean: 0.5, graded: 2 });
  });

  it("has no mean of nothing", () => {
    const summary = summariseJudged([line([ungraded("x")])], "dmr");
    expect(summary).toMatchObject({ mean: undefined, interval: undefined, graded: 0, ungraded: 1 });
    expect(
      renderText(
        judgedTables(summary, "t", "dmr")[0] ?? { title: "", columns: [], rows: [], notes: [] },
      ),
    ).toContain("–");
  });
});
