import { createRandom, graded, ungraded, type Outcome, type Random } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { bootstrapMean, pairedBootstrap } from "./bootstrap.ts";

const scores = (...values: number[]): Outcome[] => values.map(graded);

/** Gives the listed numbers in turn. */
function listedRandom(values: readonly number[]): Random {
  let position = 0;
  return () => values[position++ % values.length] ?? 0;
}

describe("bootstrapMean", () => {
  it("resamples by the given numbers: resamples (0, 0), (0, 1), (1, 1) have means 0, 0.5, 1", () => {
    // Values 0 and 1; a number below 0.5 draws the first, else the second. Confidence 0.5 asks for the quantiles 0.25
    // and 0.75 of {0, 0.5, 1}: positions 0.5 and 1.5, so 0.25 and 0.75.
    const random = listedRandom([0, 0.4, 0.1, 0.9, 0.5, 0.99]);
    expect(bootstrapMean(scores(0, 1), random, { resamples: 3, confidence: 0.5 })).toEqual({
      mean: 0.5,
      low: 0.25,
      high: 0.75,
      count: 2,
    });
  });

  it("is near the normal interval for many 0/1 scores: 0.5 +- 1.96 * 0.5 / sqrt(400) = 0.451 .. 0.549", () => {
    const outcomes = Array.from({ length: 400 }, (_, index) => graded(index % 2));
    const estimate = bootstrapMean(outcomes, createRandom(7));
    expect(estimate?.mean).toBe(0.5);
    expect(Math.abs((estimate?.low ?? 0) - 0.451)).toBeLessThan(0.006);
    expect(Math.abs((estimate?.high ?? 0) - 0.549)).toBeLessThan(0.006);
  });

  it("has a point interval for equal scores and none for no scores", () => {
    expect(bootstrapMean(scores(0.25, 0.25), createRandom(1))).toEqual({
      mean: 0.25,
      low: 0.25,
      high: 0.25,
      count: 2,
    });
    expect(bootstrapMean([ungraded("no gold answer")], createRandom(1))).toBeUndefined();
  });

  it("is a function of the seed", () => {
    const outcomes = scores(0, 0.2, 0.9, 0.4, 1, 0.35);
    const run = (seed: number) => bootstrapMean(outcomes, createRandom(seed), { resamples: 200 });
    expect(run(3)).toEqual(run(3));
    expect(run(3)).not.toEqual(run(4));
  });

  it("refuses options that mean nothing", () => {
    expect(() => bootstrapMean(scores(1), createRandom(1), { resamples: 0 })).toThrow(
      /resamples is 0/,
    );
    expect(() => bootstrapMean(scores(1), createRandom(1), { confidence: 95 })).toThrow(
      /confidence 95/,
    );
  });
});

describe("pairedBootstrap", () => {
  const first = scores(0.9, 0.1, 0.5, 0.7, 0, 1);
  const second = scores(0.6, 0.2, 0.1, 0.7, 0, 0.5);

  it("gives [0, 0] for identical systems", () => {
    expect(pairedBootstrap(first, first, createRandom(1))).toEqual({
      mean: 0,
      low: 0,
      high: 0,
      count: 6,
      leftOut: 0,
    });
  });

  it("gives a point interval for a constant difference", () => {
    const estimate = pairedBootstrap(
      scores(0.75, 0.5, 1),
      scores(0.5, 0.25, 0.75),
      createRandom(1),
    );
    expect(estimate).toEqual({ mean: 0.25, low: 0.25, high: 0.25, count: 3, leftOut: 0 });
  });

  it("has the mean of the differences: (0.3 - 0.1 + 0.4 + 0 + 0 + 0.5) / 6 = 1.1 / 6, inside the interval", () => {
    const estimate = pairedBootstrap(first, second, createRandom(5));
    expect(estimate?.mean).toBeCloseTo(1.1 / 6, 12);
    expect(estimate?.low).toBeLessThan(1.1 / 6);
    expect(estimate?.high).toBeGreaterThan(1.1 / 6);
    // No mean of resampled differences leaves their range.
    expect(estimate?.low).toBeGreaterThanOrEqual(-0.1);
    expect(estimate?.high).toBeLessThanOrEqual(0.5);
  });

  it("mirrors when the systems are swapped", () => {
    const forward = pairedBootstrap(first, second, createRandom(5));
    const backward = pairedBootstrap(second, first, createRandom(5));
    expect(backward?.mean).toBeCloseTo(-(forward?.mean ?? 0), 12);
    expect(backward?.low).toBeCloseTo(-(forward?.high ?? 0), 12);
    expect(backward?.high).toBeCloseTo(-(forward?.low ?? 0), 12);
  });

  it("grows wider with the confidence", () => {
    const wide = pairedBootstrap(first, second, createRandom(5), { confidence: 0.99 });
    const narrow = pairedBootstrap(first, second, createRandom(5), { confidence: 0.5 });
    expect(wide?.low).toBeLessThan(narrow?.low ?? 0);
    expect(wide?.high).toBeGreaterThan(narrow?.high ?? 0);
  });

  it("leaves out pairs with an ungraded side and counts them", () => {
    const estimate = pairedBootstrap(
      [graded(1), ungraded("failed call")],
      [graded(0), graded(0)],
      createRandom(1),
    );
    expect(estimate).toEqual({ mean: 1, low: 1, high: 1, count: 1, leftOut: 1 });
    expect(
      pairedBootstrap([ungraded("failed call")], [graded(0)], createRandom(1)),
    ).toBeUndefined();
  });

  it("refuses lists of different questions", () => {
    expect(() => pairedBootstrap(first, scores(1), createRandom(1))).toThrow(
      /6 outcomes against 1/,
    );
  });
});
