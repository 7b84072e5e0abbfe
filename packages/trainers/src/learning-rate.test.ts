import { expect, it } from "vitest";
import { computeLearningRate } from "./learning-rate.ts";

it("rises linearly and stays", () => {
  const rates = [0, 1, 2, 3, 4, 5].map((step) =>
    computeLearningRate(step, { peak: 8e-4, warmUpSteps: 4 }),
  );
  expect(rates).toEqual([2e-4, 4e-4, 8e-4 * 0.75, 8e-4, 8e-4, 8e-4]);
});

it("is constant without warm-up", () => {
  expect(computeLearningRate(0, { peak: 5e-4, warmUpSteps: 0 })).toBe(5e-4);
});
