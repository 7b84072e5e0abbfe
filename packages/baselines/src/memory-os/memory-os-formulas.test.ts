import { describe, expect, it } from "vitest";
import {
  computeHeat,
  computeHoursBetween,
  computeInsertionScore,
  computeSimilarity,
} from "./memory-os-formulas.ts";

describe("insertion score", () => {
  it.each([
    // 0.3 + (1/2 + 1/4) / 2 = 0.675
    [0.3, ["dog", "walk"], ["dog", "park", "cat", "rain"], 0.675],
    // the same from the other side
    [0.3, ["dog", "park", "cat", "rain"], ["dog", "walk"], 0.675],
    // equal sets: 0.25 + 1
    [0.25, ["犬", "Köln"], ["Köln", "犬"], 1.25],
    // a keyword that is said twice counts once: 0 + (1/1 + 1/2) / 2
    [0, ["dog", "dog"], ["dog", "park"], 0.75],
    [0.4, ["dog"], ["cat"], 0.4],
    [0.4, [], ["cat"], 0.4],
    [0.4, ["dog"], [], 0.4],
    [-0.5, [], [], -0.5],
  ])("%d, %j, %j", (similarity, pageKeywords, segmentKeywords, expected) => {
    expect(computeInsertionScore({ similarity, pageKeywords, segmentKeywords })).toBeCloseTo(
      expected,
      12,
    );
  });
});

describe("heat", () => {
  it.each([
    // 0.8 * 7 + 0.0001 and 0.8 * 6 + 0.0001: the seventh page makes a segment hot.
    [0, 7, 0, 5.6001],
    [0, 6, 0, 4.8001],
    // 1.6 + 2.4 + 0.0001 / e
    [2, 3, 24, 4.0000367879441],
    [0, 0, 1_000_000, 0],
    [0, 0, -48, 0.0001],
  ])("%d visits, %d interactions, %d hours", (visits, interactions, hoursSinceUse, expected) => {
    expect(computeHeat({ visits, interactions, hoursSinceUse })).toBeCloseTo(expected, 12);
  });
});

describe("hours between", () => {
  it.each([
    ["2023-05-08T13:56", "2023-05-09T13:56", 24],
    ["2023-05-08T13:56", "2023-05-08T13:26", -0.5],
    // The night on which European clocks go forward has its hour: no zone is invented.
    ["2023-03-26T01:00", "2023-03-26T03:00", 2],
    ["2023-05-08T13:56", "2023-05-08T13:56", 0],
    [undefined, "2023-05-08T13:56", 0],
    ["2023-05-08T13:56", undefined, 0],
  ])("%s to %s", (from, to, expected) => {
    expect(computeHoursBetween(from, to)).toBe(expected);
  });
});

it("similarity is the dot product of unit vectors", () => {
  const [first, second] = [Float32Array.of(0.6, 0.8), Float32Array.of(0.8, 0.6)];
  expect(computeSimilarity(first, second)).toBeCloseTo(0.96, 6);
  expect(computeSimilarity(first, Float32Array.of(-0.6, -0.8))).toBeCloseTo(-1, 6);
  expect(computeSimilarity(first, Float32Array.of(0, 0))).toBe(0);
});
