import { expect, it } from "vitest";
import {
  computeMultisetF1,
  computeOverlapScore,
  computeSetF1,
  countCommonTokens,
  listNgrams,
} from "./token-overlap.ts";

it("counts a shared token as often as both lists have it: 2 a and 1 b", () => {
  expect(countCommonTokens(["a", "a", "a", "b"], ["b", "a", "c", "a"])).toBe(3);
  expect(countCommonTokens([], ["a"])).toBe(0);
});

it("counts long lists alike: 50 times x and 30 times y of 60 and 50", () => {
  const first = [
    ...Array.from({ length: 50 }, () => "x"),
    ...Array.from({ length: 50 }, () => "y"),
  ];
  const second = [
    ...Array.from({ length: 30 }, () => "y"),
    ...Array.from({ length: 60 }, () => "x"),
    "z",
  ];
  expect(countCommonTokens(first, second)).toBe(80);
});

it("gives 2 of 4 and 2 of 3 a precision of 1/2, a recall of 2/3 and an F1 of 4/7", () => {
  const { precision, recall, f1 } = computeOverlapScore(2, 4, 3);
  expect(precision).toBe(0.5);
  expect(recall).toBeCloseTo(2 / 3, 15);
  expect(f1).toBeCloseTo(4 / 7, 15);
  expect(computeOverlapScore(0, 0, 0)).toEqual({ precision: 0, recall: 0, f1: 0 });
});

it("lets a repeated word count in multisets and not in sets: a a b against a", () => {
  expect(computeMultisetF1(["a", "a", "b"], ["a"])).toBe(0.5);
  expect(computeSetF1(["a", "a", "b"], ["a"])).toBeCloseTo(2 / 3, 15);
});

it("lists n-grams in order, and none where the text is shorter", () => {
  expect(listNgrams(["a", "b", "c"], 1)).toEqual(["a", "b", "c"]);
  expect(listNgrams(["a", "b", "c"], 2)).toEqual(["a b", "b c"]);
  expect(listNgrams(["a", "b"], 3)).toEqual([]);
});
