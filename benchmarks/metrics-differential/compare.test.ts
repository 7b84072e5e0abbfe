import { expect, it } from "vitest";
import { compareScores } from "./compare.ts";

it("counts what differs by more than rounding, and finds the first", () => {
  expect(compareScores("f1", [1, 0.5, 0.25], [1, 0.5 + 1e-15, 0.5])).toEqual({
    metric: "f1",
    cases: 3,
    differing: 1,
    largestDifference: 0.25,
    firstDiffering: 2,
  });
  expect(compareScores("f1", [], []).firstDiffering).toBeUndefined();
});

it("takes a value on one side only, and NaN, for differences", () => {
  expect(compareScores("f1", [undefined, undefined, 0], [undefined, 0, undefined]).differing).toBe(
    2,
  );
  expect(compareScores("f1", [Number.NaN], [Number.NaN]).differing).toBe(1);
});

it("does not compare lists of different lengths", () => {
  expect(() => compareScores("f1", [1], [])).toThrow("f1: 1 cases here and 0 there");
});
