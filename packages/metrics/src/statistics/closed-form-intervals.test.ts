import { graded, ungraded } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import {
  computeNormalInterval,
  computeWilsonInterval,
  wilsonOfOutcomes,
} from "./closed-form-intervals.ts";

describe("computeWilsonInterval", () => {
  // statsmodels 0.15.0: proportion_confint(successes, trials, alpha=0.05, method="wilson").
  it.each([
    [0, 1, 0, 0.7934506856227627],
    [1, 1, 0.2065493143772374, 1],
    [0, 10, 0, 0.27753279986288926],
    [10, 10, 0.7224672001371106, 1],
    [1, 2, 0.09453120573423068, 0.9054687942657693],
    [3, 7, 0.15821985525146964, 0.7495416354723428],
    [62, 96, 0.546243023422573, 0.734201596785605],
    [199, 239, 0.780129097791532, 0.8746190690665835],
    [500, 727, 0.6531595587064395, 0.7203824683708425],
    [820, 1307, 0.6008410631852216, 0.6531942343400684],
    [1157, 1540, 0.7291021921640313, 0.7722446239729321],
  ])("gives statsmodels' interval for %i of %i", (successes, trials, low, high) => {
    const interval = computeWilsonInterval(successes, trials);
    expect(interval?.low).toBeCloseTo(low, 14);
    expect(interval?.high).toBeCloseTo(high, 14);
  });

  it("has no interval of nothing, and refuses what is no count", () => {
    expect(computeWilsonInterval(0, 0)).toBeUndefined();
    for (const [successes, trials] of [
      [2, 1],
      [-1, 3],
      [0.5, 3],
      [1, Number.NaN],
    ] as const) {
      expect(() => computeWilsonInterval(successes, trials)).toThrow(
        `${successes} successes of ${trials} trials`,
      );
    }
  });
});

describe("wilsonOfOutcomes", () => {
  it("counts what was graded, and is for scores of 0 and 1 alone", () => {
    const outcomes = [graded(1), graded(0), ungraded("unparsable verdict")];
    expect(wilsonOfOutcomes(outcomes)).toEqual(computeWilsonInterval(1, 2));
    expect(wilsonOfOutcomes([...outcomes, graded(0.5)])).toBeUndefined();
    expect(wilsonOfOutcomes([ungraded("failed call")])).toBeUndefined();
  });
});

describe("computeNormalInterval", () => {
  it("gives statsmodels' interval", () => {
    // statsmodels 0.15.0: DescrStatsW([0.1, 0.25, 0.9, 0.4, 1, 0.35, 0, 0.5]).zconfint_mean(alpha=0.05).
    const moments = { count: 8, mean: 0.4375, standardDeviation: 0.35531676008879737 };
    const interval = computeNormalInterval(moments);
    expect(interval?.low).toBeCloseTo(0.19128257166869933, 14);
    expect(interval?.high).toBeCloseTo(0.6837174283313007, 14);
  });

  it("needs two values", () => {
    const moments = { count: 1, mean: 1, standardDeviation: 0 };
    expect(computeNormalInterval(moments)).toBeUndefined();
  });
});
