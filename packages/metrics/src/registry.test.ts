import { graded, ungraded } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import {
  type AnswerMetric,
  isMetricName,
  metrics,
  type MetricName,
  scoreAnswer,
} from "./registry.ts";

const category = { code: "1", names: { official: "multi-hop", mem0: "single-hop" } };
const names = Object.keys(metrics).filter(isMetricName);

it("knows its names", () => {
  expect(isMetricName("mem0-f1")).toBe(true);
  expect(isMetricName("rouge-l-recall-stemmed")).toBe(true);
  expect(isMetricName("toString")).toBe(false);
});

it.each(Object.entries<AnswerMetric>(metrics))("%s says what it is and where from", (_, metric) => {
  expect(metric.description).toMatch(/^\S.{15,}\S$/);
  expect(metric.source).toMatch(/^\S.{10,}\S$/);
});

it.each(names)("%s gives 1 to a gold answer of four words and 0 to an empty one", (name) => {
  const gold = "green tea with mint";
  // 1/3 as a weight is not exact.
  expect(metrics[name].score(gold, { gold })).toBeCloseTo(1, 12);
  expect(metrics[name].score("", { gold })).toBe(0);
});

describe("scoreAnswer", () => {
  it("scores with the question's category and leaves a question without gold ungraded", () => {
    expect(scoreAnswer("locomo-f1", "yoga", { gold: "yoga, surfing", category })).toEqual(
      graded(0.5),
    );
    expect(scoreAnswer("squad-em", "tea", { gold: "coffee", category })).toEqual(graded(0));
    expect(scoreAnswer("locomo-f1", "not mentioned", { category })).toEqual(
      ungraded("no gold answer"),
    );
  });

  it("needs no gold for LoCoMo's category 5, on which the official script crashes", () => {
    const adversarial = { category: { ...category, code: "5" } };
    expect(scoreAnswer("locomo-f1", "Not mentioned.", adversarial)).toEqual(graded(1));
    expect(scoreAnswer("locomo-f1", "Tea", adversarial)).toEqual(graded(0));
    expect(scoreAnswer("mem0-f1", "Not mentioned.", adversarial)).toEqual(
      ungraded("no gold answer"),
    );
  });

  it.each<[MetricName, string]>([
    ["locomo-f1", "the"],
    ["squad-f1", "the"],
    ["squad-sub-em", "the"],
    ["mem0-f1", "?!"],
    ["memoryos-f1", "?!"],
    ["rouge-l-recall", "東京"],
    ["rouge-2-f1", "tea"],
    ["plain-bleu4", "tea please!"],
    ["mem0-bleu2", " "],
  ])("%s leaves a gold of nothing to compare (%s) ungraded", (name, gold) => {
    const reason = ungraded(`the gold answer holds nothing that ${name} compares`);
    expect(scoreAnswer(name, gold, { gold, category })).toEqual(reason);
    expect(scoreAnswer(name, "tea", { gold, category })).toEqual(reason);
  });

  it("scores a gold of fewer words than the order where smoothing gives it a value", () => {
    const outcome = scoreAnswer("mem0-bleu4", "tea", { gold: "tea", category });
    expect(outcome.status === "graded" ? outcome.score : undefined).toBeCloseTo(0.1 ** 0.75, 12);
  });

  it("compares such a gold where the definition can: exact match and SQuAD v2.0", () => {
    expect(scoreAnswer("squad-em", "a", { gold: "the", category })).toEqual(graded(1));
    expect(scoreAnswer("squad2-f1", "a", { gold: "the", category })).toEqual(graded(1));
    expect(scoreAnswer("squad2-f1", "tea", { gold: "the", category })).toEqual(graded(0));
  });
});
