import { graded } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { recordOf, records } from "./__fixtures__/records.ts";
import { aggregatePredictions } from "./aggregate-predictions.ts";
import type { PredictionRecord } from "./prediction-record.ts";

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
      wilson: undefined,
      macro: undefined,
      overSeeds: { mean: undefined, standardDeviation: undefined, count: 0 },
    });
  });

  it("has an interval of no width where all scores are equal, and one inside the scores otherwise", () => {
    expect(at("GRPO", "1")?.interval).toEqual({ low: 0.75, high: 0.75 });
    // Two questions: the resampled mean is 0.25, 0.375 or 0.5 with chances 1/4, 1/2, 1/4, so the 2.5 % and 97.5 % points are the ends.
    expect(at("RAG", "1")?.interval).toEqual({ low: 0.25, high: 0.5 });
    // One question says nothing of how much questions differ.
    expect(at("RAG", "4")).toMatchObject({ mean: 1, interval: undefined });
  });

  it("takes the macro mean over conversations, with the interval of drawn conversations", () => {
    // Conversation x has question a alone (1), y has b and c (0.375): a pair is one of them twice with chance 1/4.
    expect(at("RAG", undefined)?.macro).toEqual({
      mean: 0.6875,
      interval: { low: 0.375, high: 1 },
      clusters: 2,
      count: 3,
    });
    expect(at("RAG", "1")?.macro).toMatchObject({ mean: 0.375, interval: undefined, clusters: 1 });
    expect(rows.map((row) => row.conversations)).toEqual([2, 1, 1, 2, 1, 1]);
  });

  it("has Wilson's interval where every score is 0 or 1", () => {
    // statsmodels 0.15.0: proportion_confint(1, 3, method="wilson").
    const wilson = rows[0]?.metrics["em"]?.wilson;
    expect(wilson?.low).toBeCloseTo(0.06149194472039638, 14);
    expect(wilson?.high).toBeCloseTo(0.7923403991979523, 14);
    expect(at("RAG", undefined)?.wilson).toBeUndefined();
    expect(rows[3]?.metrics["em"]?.wilson).toMatchObject({ low: expect.any(Number) });
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

  it("leaves out questions with a corrupt gold where asked, and says what a perfect system would get", () => {
    const known = records.map((one) => ({ ...one, hasCorruptGold: one.questionId === "c" }));
    const [all, , , grpo] = aggregatePredictions(known);
    expect(all).toMatchObject({ knownIssues: "include", questions: 3, ceiling: 2 / 3 });
    expect(grpo?.ceiling).toBe(2 / 3);
    const clean = aggregatePredictions(known, { knownIssues: "exclude" });
    expect(clean[0]).toMatchObject({ knownIssues: "exclude", questions: 2, ceiling: 1 });
    // a and b alone: (1 + 0.5) / 2
    expect(clean[0]?.metrics["f1"]?.mean).toBe(0.75);
    expect(clean).toEqual(
      aggregatePredictions(
        known.filter((one) => one.questionId !== "c"),
        { knownIssues: "exclude" },
      ),
    );
  });

  it("makes intervals for the metrics asked for alone", () => {
    const [row] = aggregatePredictions(records, { intervalsOf: ["em"] });
    expect(row?.metrics["f1"]).toMatchObject({ mean: 1.75 / 3, interval: undefined });
    expect(row?.metrics["em"]?.interval).toEqual(rows[0]?.metrics["em"]?.interval);
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

describe("several seeds", () => {
  const answer = (seed: number, questionId: string, score: number): PredictionRecord => ({
    ...recordOf("RAG", questionId, "1", graded(score), graded(score > 0.5 ? 1 : 0)),
    seed,
  });
  const answers = [
    answer(1, "a", 1),
    answer(1, "b", 0.5),
    answer(1, "c", 0),
    answer(2, "a", 0),
    answer(2, "b", 0.5),
    answer(2, "c", 0.25),
  ];
  const [row] = aggregatePredictions(answers);

  it("give the mean and deviation of their means 0.5 and 0.25, beside the mean of all answers", () => {
    expect(row).toMatchObject({ questions: 3, conversations: 2, seeds: 2 });
    expect(row?.metrics["f1"]).toMatchObject({
      mean: 0.375,
      graded: 6,
      // sqrt(2 * 0.125 ** 2)
      overSeeds: { mean: 0.375, standardDeviation: Math.sqrt(1 / 32), count: 2 },
      // Conversations: x 0.5 (of 2 answers), y 1.25 / 4.
      macro: { mean: 0.40625, interval: { low: 0.3125, high: 0.5 }, clusters: 2, count: 6 },
    });
  });

  it("stay together when a question is drawn", () => {
    // Questions have 0.5, 0.5 and 0.125; of 27 draws one is c three times (3.7 %, above 2.5 %), 8 have no c.
    expect(row?.metrics["f1"]?.interval).toEqual({ low: 0.125, high: 0.5 });
  });

  it("have no Wilson interval: answers to one question are no independent trials", () => {
    expect(row?.metrics["em"]?.wilson).toBeUndefined();
    expect(row?.metrics["em"]?.interval).toBeDefined();
  });

  it("leave out a seed in which nothing was graded", () => {
    const failed = answers.map((one) => (one.seed === 2 ? { ...one, outcomes: {} } : one));
    expect(aggregatePredictions(failed)[0]?.metrics["f1"]).toMatchObject({
      mean: 0.5,
      graded: 3,
      ungraded: 3,
      overSeeds: { mean: 0.5, standardDeviation: undefined, count: 1 },
    });
  });

  it("refuse the same seed twice, and a question of two conversations", () => {
    expect(() => aggregatePredictions([...answers, answer(2, "a", 1)])).toThrow(/answered twice/);
    const elsewhere = { ...answer(3, "a", 1), conversationId: "y" };
    expect(() => aggregatePredictions([...answers, elsewhere])).toThrow(
      /of conversation y here and of x before/,
    );
  });
});
