import { describe, expect, it } from "vitest";
import { tasksOfStep } from "./task-order.ts";

const letters = ["a", "b", "c", "d", "e", "f", "g"];

describe("tasksOfStep", () => {
  it("gives every task once an epoch, across the borders of steps", () => {
    // 7 tasks, 3 a step: three epochs are 21 places, which are 7 steps.
    const places = [0, 1, 2, 3, 4, 5, 6].flatMap((step) =>
      tasksOfStep(letters, { step, tasksPerStep: 3, seed: 1 }),
    );
    const epochs = [places.slice(0, 7), places.slice(7, 14), places.slice(14)];
    for (const epoch of epochs) expect(epoch.toSorted()).toEqual(letters);
    expect(new Set(epochs.map((epoch) => epoch.join(""))).size).toBe(3);
  });

  it("is a function of step and seed alone: a late step needs no earlier one", () => {
    const late = { step: 1000, tasksPerStep: 4, seed: 5 };
    expect(tasksOfStep(letters, late)).toEqual(tasksOfStep(letters, late));
    const firstEpochs = [1, 2, 3, 4, 5].map((seed) =>
      tasksOfStep(letters, { step: 0, tasksPerStep: 7, seed }).join(""),
    );
    expect(new Set(firstEpochs).size).toBe(5);
  });

  it("repeats tasks where a step asks for more than there are, and has none of none", () => {
    const picked = tasksOfStep(["only"], { step: 3, tasksPerStep: 2, seed: 1 });
    expect(picked).toEqual(["only", "only"]);
    expect(tasksOfStep([], { step: 0, tasksPerStep: 2, seed: 1 })).toEqual([]);
  });
});
