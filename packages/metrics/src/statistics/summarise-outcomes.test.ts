import { graded, ungraded } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { summariseOutcomes } from "./summarise-outcomes.ts";

describe("summariseOutcomes", () => {
  it("averages what was graded and counts the rest", () => {
    expect(summariseOutcomes([graded(1), ungraded("failed call"), graded(0), graded(0.5)])).toEqual(
      {
        mean: 0.5,
        graded: 3,
        ungraded: 1,
      },
    );
  });

  it("has no mean of nothing", () => {
    expect(summariseOutcomes([])).toEqual({ mean: undefined, graded: 0, ungraded: 0 });
    expect(summariseOutcomes([ungraded("failed call")])).toEqual({
      mean: undefined,
      graded: 0,
      ungraded: 1,
    });
  });
});
