import { graded, ungraded } from "@memory-r1/spec";
import { expect, it } from "vitest";
import { isMetricName, metrics, scoreAnswer } from "./registry.ts";

const category = { code: "1", names: { official: "multi-hop", mem0: "single-hop" } };

it("holds the named metrics", () => {
  expect(Object.keys(metrics)).toEqual([
    "locomo-f1",
    "mem0-f1",
    "mem0-bleu1",
    "squad-em",
    "squad-sub-em",
    "squad-f1",
  ]);
  expect(isMetricName("mem0-f1")).toBe(true);
  expect(isMetricName("toString")).toBe(false);
});

it("gives 1 to the gold answer and 0 to an empty one, by every metric", () => {
  for (const [name, metric] of Object.entries(metrics)) {
    expect(metric("green tea", { gold: "green tea" }), name).toBe(1);
    expect(metric("", { gold: "green tea" }), name).toBe(0);
  }
});

it("scores with the question's category and leaves a question without gold ungraded", () => {
  expect(scoreAnswer("locomo-f1", "yoga", { gold: "yoga, surfing", category })).toEqual(
    graded(0.5),
  );
  expect(scoreAnswer("squad-em", "tea", { gold: "coffee", category })).toEqual(graded(0));
  expect(scoreAnswer("locomo-f1", "not mentioned", { category })).toEqual(
    ungraded("no gold answer"),
  );
});
