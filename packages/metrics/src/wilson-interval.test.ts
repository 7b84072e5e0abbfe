import { HarnessError } from "@memory-r1/spec";
import { expect, it } from "vitest";
import { computeWilsonInterval } from "./wilson-interval.ts";

// statsmodels 0.15.0: proportion_confint(successes, trials, alpha=0.05, method="wilson").
it.each([
  [0, 1, 0.0, 0.7934506856227627],
  [1, 1, 0.2065493143772374, 1.0],
  [0, 10, 0.0, 0.27753279986288926],
  [10, 10, 0.7224672001371106, 1.0],
  [5, 10, 0.23659309051256394, 0.7634069094874361],
  [1, 30, 0.005908590381612455, 0.16670390991409176],
  [3, 4, 0.30064184258240184, 0.9544127391902995],
  [62, 96, 0.546243023422573, 0.734201596785605],
  [1157, 1540, 0.7291021921640313, 0.7722446239729321],
])("covers %i of %i as statsmodels does", (successes, trials, low, high) => {
  const interval = computeWilsonInterval(successes, trials);
  expect(interval?.low).toBeCloseTo(low, 12);
  expect(interval?.high).toBeCloseTo(high, 12);
});

it("has no interval of nothing", () => {
  expect(computeWilsonInterval(0, 0)).toBeUndefined();
});

it.each([
  [-1, 3],
  [4, 3],
  [0.5, 1],
  [Number.NaN, 1],
])("refuses %d of %d", (successes, trials) => {
  expect(() => computeWilsonInterval(successes, trials)).toThrow(HarnessError);
});
