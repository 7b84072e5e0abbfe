import { expect, it } from "vitest";
import { summariseSeeds } from "./summarise-seeds.ts";

it("gives the mean and the sample standard deviation over seeds", () => {
  // NumPy 2.4.6: numpy.mean, numpy.std(ddof=1).
  const summary = summariseSeeds([0.412, 0.398, 0.431]);
  expect(summary.count).toBe(3);
  expect(summary.mean).toBeCloseTo(0.4136666666666667, 14);
  expect(summary.standardDeviation).toBeCloseTo(0.016563010998406447, 14);
  expect(summariseSeeds([0.25, 0.75])).toEqual({
    mean: 0.5,
    // ((1/4)^2 + (1/4)^2) / 1 = 1/8
    standardDeviation: Math.sqrt(1 / 8),
    count: 2,
  });
});

it("has no deviation of one seed, and no mean of none", () => {
  expect(summariseSeeds([0.5])).toEqual({ mean: 0.5, standardDeviation: undefined, count: 1 });
  expect(summariseSeeds([undefined, 0.5])).toMatchObject({ count: 1 });
  expect(summariseSeeds([undefined])).toEqual({
    mean: undefined,
    standardDeviation: undefined,
    count: 0,
  });
});

it("tells equal seeds from one seed", () => {
  expect(summariseSeeds([0.5, 0.5])).toEqual({ mean: 0.5, standardDeviation: 0, count: 2 });
});
