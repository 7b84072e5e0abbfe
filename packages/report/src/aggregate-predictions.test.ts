import { graded, type Outcome, ungraded } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import {
  aggregatePredictions,
  compareArms,
  type PredictionRecord,
} from "./aggregate-predictions.ts";
import { renderCsv } from "./render-csv.ts";
import { renderText } from "./render-text.ts";
import { categoryTable, leaderboardTable, overallTable } from "./result-tables.ts";

const names: Record<string, Record<string, string>> = {
  "1": { official: "multi-hop", mem0: "single-hop" },
  "4": { official: "single-hop", mem0: "open-domain" },
};

function record(
  system: string,
  questionId: string,
  categoryCode: string,
  f1: Outcome,
  em: Outcome,
): PredictionRecord {
  return {
    system,
    arm: "",
    questionId,
    categoryCode,
    categoryNames: names[categoryCode] ?? {},
    outcomes: { f1, em },
  };
}

const noGold = ungraded("no gold answer");

/** Means by hand: RAG 1: (0.5+0.25)/2 = 0.375, 4: 1, all: 1.75/3 = 0.58333; GRPO 1: 0.75, 4: none graded, all: 0.75. */
const records: readonly PredictionRecord[] = [
  record("RAG", "a", "4", graded(1), graded(1)),
  record("RAG", "b", "1", graded(0.5), graded(0)),
  record("RAG", "c", "1", graded(0.25), graded(0)),
  record("GRPO", "a", "4", noGold, noGold),
  record("GRPO", "b", "1", graded(0.75), graded(1)),
  record("GRPO", "c", "1", graded(0.75), graded(0)),
];

describe("aggregatePredictions", () => {
  const rows = aggregatePredictions(records);
  const at = (system: string, categoryCode: string | undefined) =>
    rows.find((row) => row.system === system && row.categoryCode === categoryCode)?.metrics["f1"];

  it("gives each system a row for all questions, then one for each category by code", () => {
    expect(rows.map((row) => [row.system, row.categoryCode, row.questions])).toEqual([
      ["RAG", undefined, 3],
      ["RAG", "1", 2],
      ["RAG", "4", 1],
      ["GRPO", undefined, 3],
      ["GRPO", "1", 2],
      ["GRPO", "4", 1],
    ]);
  });

  it("takes the micro mean over what was graded", () => {
    expect(at("RAG", undefined)).toMatchObject({ mean: 1.75 / 3, graded: 3, ungraded: 0 });
    expect(at("RAG", "1")).toMatchObject({ mean: 0.375, graded: 2, ungraded: 0 });
    expect(at("GRPO", undefined)).toMatchObject({ mean: 0.75, graded: 2, ungraded: 1 });
  });

  it("has no mean and no interval where nothing was graded", () => {
    expect(at("GRPO", "4")).toEqual({
      mean: undefined,
      graded: 0,
      ungraded: 1,
      interval: undefined,
    });
  });

  it("has an interval of no width where all scores are equal, and one inside the scores otherwise", () => {
    expect(at("GRPO", "1")?.interval).toEqual({ low: 0.75, high: 0.75 });
    // Two questions: the resampled mean is 0.25, 0.375 or 0.5 with chances 1/4, 1/2, 1/4, so the 2.5 % and 97.5 % points are the ends.
    expect(at("RAG", "1")?.interval).toEqual({ low: 0.25, high: 0.5 });
  });

  it("gives a row the same interval whatever other rows there are", () => {
    const alone = aggregatePredictions(records.filter((one) => one.system === "RAG"));
    expect(alone).toEqual(rows.slice(0, 3));
  });

  it("counts a metric that a record lacks as ungraded", () => {
    const [first, second] = records;
    if (first === undefined || second === undefined) throw new Error("no records");
    const summary = aggregatePredictions([first, { ...second, outcomes: {} }])[0]?.metrics["f1"];
    expect(summary).toMatchObject({ mean: 1, graded: 1, ungraded: 1 });
  });

  it("is empty for no predictions", () => {
    expect(aggregatePredictions([])).toEqual([]);
  });

  it("refuses a question that one arm answers twice, a score that is no number, and a category with two names", () => {
    const [first] = records;
    if (first === undefined) throw new Error("no records");
    expect(() => aggregatePredictions([...records, first])).toThrow(
      /RAG\/\/a: this question is answered twice/,
    );
    expect(() =>
      aggregatePredictions([{ ...first, outcomes: { f1: graded(Number.NaN) } }]),
    ).toThrow(/score is NaN/);
    expect(() =>
      aggregatePredictions([...records, { ...first, questionId: "d", categoryNames: {} }]),
    ).toThrow(/category 4/);
  });
});

describe("compareArms", () => {
  const rag = { system: "RAG", arm: "" };
  const grpo = { system: "GRPO", arm: "" };

  it("averages the differences over the questions that both were graded on", () => {
    // b: 0.75 - 0.5 = 0.25, c: 0.75 - 0.25 = 0.5; a is ungraded on one side.
    const comparison = compareArms(records, { metric: "f1", first: grpo, second: rag });
    expect(comparison).toMatchObject({ mean: 0.375, low: 0.25, high: 0.5, count: 2, leftOut: 1 });
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
});

describe("result tables", () => {
  const rows = aggregatePredictions(records);

  it("shows all questions with one pair of counts where the metrics agree", () => {
    const table = overallTable(rows, {
      title: "Mini set",
      metrics: [
        { name: "f1", label: "F1", showInterval: true },
        { name: "em", label: "EM" },
      ],
    });
    expect(renderText(table)).toBe(
      [
        "Mini set",
        "System  Arm  Questions     F1   95 % interval     EM  Graded  Ungraded",
        "──────  ───  ─────────  ─────  ──────────────  ─────  ──────  ────────",
        "RAG                  3  0.583  0.250 to 1.000  0.333       3         0",
        "GRPO                 3  0.750  0.750 to 0.750  0.500       2         1",
        "",
      ].join("\n"),
    );
  });

  it("shows counts for each metric where they differ", () => {
    const mixed = aggregatePredictions([record("RAG", "a", "4", graded(1), noGold)]);
    const table = overallTable(mixed, {
      title: "",
      metrics: [
        { name: "f1", label: "F1" },
        { name: "em", label: "EM" },
      ],
    });
    expect(renderText(table).split("\n").slice(0, 3)).toEqual([
      "System  Arm  Questions     F1  F1 Graded  F1 Ungraded  EM  EM Graded  EM Ungraded",
      "──────  ───  ─────────  ─────  ─────────  ───────────  ──  ─────────  ───────────",
      "RAG                  1  1.000          1            0   –          0            1",
    ]);
  });

  it("names categories by the scheme asked for, and shows an ungraded cell as a dash", () => {
    const lines = (naming: string) =>
      renderText(categoryTable(rows, { title: "", metric: "f1", naming }))
        .split("\n")
        .slice(0, 4);
    expect(lines("official")).toEqual([
      "System  Arm  multi-hop  single-hop    All",
      "──────  ───  ─────────  ──────────  ─────",
      "RAG              0.375       1.000  0.583",
      "GRPO             0.750           –  0.750",
    ]);
    expect(lines("mem0")[0]).toBe("System  Arm  single-hop  open-domain    All");
    expect(lines("unknown")[0]).toBe("System  Arm      1      4    All");
  });

  it("writes the leaderboard with every scope, in full precision, ungraded as empty", () => {
    const csv = renderCsv(
      leaderboardTable(aggregatePredictions(records.filter((one) => one.system === "GRPO")), ""),
    );
    expect(csv).toBe(
      [
        "system,arm,scope,name:mem0,name:official,questions,f1,f1Low,f1High,f1Graded,f1Ungraded,em,emLow,emHigh,emGraded,emUngraded",
        "GRPO,,all,,,3,0.75,0.75,0.75,2,1,0.5,0,1,2,1",
        "GRPO,,1,single-hop,multi-hop,2,0.75,0.75,0.75,2,0,0.5,0,1,2,0",
        "GRPO,,4,open-domain,single-hop,1,,,,0,1,,,,0,1",
        "",
      ].join("\n"),
    );
  });
});
