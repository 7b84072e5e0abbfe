import { graded, ungraded } from "@memory-r1/spec";
import { expect, it } from "vitest";
import { summariseRepeatedRuns } from "./repeated-runs.ts";

it("is mean ± sample deviation of the runs' scores", () => {
  // 1/2, 1 and 1/2 of what was graded: mean 2/3, squares (1/6)^2 + (1/3)^2 + (1/6)^2 = 1/6, over 2 is 1/12.
  const summary = summariseRepeatedRuns([
    [graded(1), graded(0)],
    [graded(1), ungraded("failed")],
    [graded(0), graded(1)],
  ]);
  expect(summary.scores).toEqual([0.5, 1, 0.5]);
  expect(summary.mean).toBeCloseTo(2 / 3, 12);
  expect(summary.standardDeviation).toBeCloseTo(Math.sqrt(1 / 12), 12);
});

it("has no deviation of one run, and no mean of none", () => {
  expect(summariseRepeatedRuns([[graded(1)]])).toEqual({
    scores: [1],
    mean: 1,
    standardDeviation: undefined,
  });
  expect(summariseRepeatedRuns([[ungraded("x")], []])).toEqual({
    scores: [],
    mean: undefined,
    standardDeviation: undefined,
  });
});
