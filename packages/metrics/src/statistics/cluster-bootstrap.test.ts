import { createRandom, graded, type Outcome, type Random, ungraded } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { clusterBootstrap, pairedClusterBootstrap } from "./cluster-bootstrap.ts";

const scores = (...values: number[]): Outcome[] => values.map(graded);

const first = [scores(1, 0, 1, 1), scores(0.2), scores(0.5, 0.6, 0.1), scores(0, 0, 1)];
const second = [scores(1, 0, 0, 1), scores(0.4), scores(0.25, 0.6, 0.6), scores(0, 1, 0)];

/** Draws every one of the count ** count ordered picks of `count` units once: the exact bootstrap distribution. */
function everyPick(count: number): { random: Random; resamples: number } {
  let position = 0;
  const random = (): number => {
    const resample = Math.floor(position / count);
    const digit = Math.floor(resample / count ** (position % count)) % count;
    position += 1;
    return (digit + 0.5) / count;
  };
  return { random, resamples: count ** count };
}

// Expected values: Python 3.11, NumPy 2.4.6: the means of itertools.product(range(n), repeat=n) over the clusters, then
// numpy.quantile(means, [0.025, 0.975]).
describe("clusterBootstrap over all resamples that there are", () => {
  it.each([
    { weighting: "macro", mean: 0.42083333333333334, low: 0.25, high: 0.6458333333333333 },
    { weighting: "micro", mean: 0.49090909090909096, low: 0.3, high: 0.68 },
  ] as const)("gives the exact interval of the $weighting mean", (expected) => {
    const { random, resamples } = everyPick(4);
    const { weighting, mean, low, high } = expected;
    const estimate = clusterBootstrap(first, random, { resamples, weighting });
    expect(estimate).toMatchObject({ clusters: 4, count: 11 });
    expect(estimate?.mean).toBeCloseTo(mean, 12);
    expect(estimate?.interval?.low).toBeCloseTo(low, 12);
    expect(estimate?.interval?.high).toBeCloseTo(high, 12);
  });

  it("gives the exact interval for five clusters of 1 to 4", () => {
    const clusters = [
      scores(0.1, 0.2),
      scores(0.9),
      scores(0.35, 0.4, 0.45),
      scores(0.6, 0.1),
      scores(0.7, 0.7, 0.7, 0.1),
    ];
    const { random, resamples } = everyPick(5);
    const estimate = clusterBootstrap(clusters, random, { resamples });
    expect(estimate?.mean).toBeCloseTo(0.47, 12);
    expect(estimate?.interval?.low).toBeCloseTo(0.27, 12);
    expect(estimate?.interval?.high).toBeCloseTo(0.7, 12);
  });

  it.each([
    { weighting: "macro", mean: -0.008333333333333335, low: -0.15, high: 0.16666666666666669 },
    { weighting: "micro", mean: 0.05, low: -0.1125, high: 0.2 },
  ] as const)("gives the exact interval of a $weighting difference", (expected) => {
    const { random, resamples } = everyPick(4);
    const { weighting, mean, low, high } = expected;
    const pairs = first.map((one, index) => ({ first: one, second: second[index] ?? [] }));
    const estimate = pairedClusterBootstrap(pairs, random, { resamples, weighting });
    expect(estimate?.mean).toBeCloseTo(mean, 12);
    expect(estimate?.interval?.low).toBeCloseTo(low, 12);
    expect(estimate?.interval?.high).toBeCloseTo(high, 12);
  });
});

describe("clusterBootstrap", () => {
  it("is near the exact interval with seeded draws", () => {
    const estimate = clusterBootstrap(first, createRandom(3));
    // 0.25 and 0.645833 are steps of the exact distribution with enough mass to be hit by 10,000 draws.
    expect(estimate?.interval?.low).toBeCloseTo(0.25, 12);
    expect(estimate?.interval?.high).toBeCloseTo(0.6458333333333333, 12);
    expect(clusterBootstrap(first, createRandom(3))).toEqual(estimate);
  });

  it("weighs a conversation of 1 question as much as one of 3: (1 + 0) / 2, not 1/4", () => {
    const clusters = [scores(1), scores(0, 0, 0)];
    expect(clusterBootstrap(clusters, createRandom(1))?.mean).toBe(0.5);
    expect(clusterBootstrap(clusters, createRandom(1), { weighting: "micro" })?.mean).toBe(0.25);
  });

  it("leaves out what is ungraded, and a cluster in which nothing was graded", () => {
    const failed = ungraded("failed call");
    const clusters = [[graded(1), failed, graded(0)], [failed], scores(0.25), []];
    expect(clusterBootstrap(clusters, createRandom(1))).toEqual({
      mean: 0.375,
      interval: { low: 0.25, high: 0.5 },
      clusters: 2,
      count: 3,
    });
  });

  it("has no interval for one cluster, and nothing for no clusters", () => {
    expect(clusterBootstrap([scores(1, 0)], createRandom(1))).toEqual({
      mean: 0.5,
      interval: undefined,
      clusters: 1,
      count: 2,
    });
    expect(clusterBootstrap([], createRandom(1))).toBeUndefined();
    expect(clusterBootstrap([[ungraded("x")]], createRandom(1))).toBeUndefined();
  });

  it("refuses options that mean nothing, and pairs of different questions", () => {
    expect(() => clusterBootstrap(first, createRandom(1), { resamples: 1.5 })).toThrow(
      /resamples is 1.5/,
    );
    expect(() =>
      pairedClusterBootstrap([{ first: scores(1, 0), second: scores(1) }], createRandom(1)),
    ).toThrow(/2 outcomes against 1/);
  });
});

describe("pairedClusterBootstrap", () => {
  it("leaves out pairs with an ungraded side", () => {
    const pairs = [
      { first: [graded(1), ungraded("failed call")], second: scores(0.5, 0) },
      { first: scores(0), second: [ungraded("failed call")] },
    ];
    expect(pairedClusterBootstrap(pairs, createRandom(1))).toEqual({
      mean: 0.5,
      interval: undefined,
      clusters: 1,
      count: 1,
    });
  });
});
