import { describe, expect, it } from "vitest";
import { computeExactMatch, computeSubExactMatch, computeTokenF1 } from "./squad.ts";

describe("computeExactMatch", () => {
  it("forgives case, articles, punctuation and spaces, and nothing else", () => {
    expect(computeExactMatch("  The border-collie. ", "bordercollie")).toBe(1);
    expect(computeExactMatch("border collies", "border collie")).toBe(0);
    expect(computeExactMatch("cat and dog", "cat dog")).toBe(0);
  });

  it("is 1 where both sides normalise to nothing, and 0 where one does", () => {
    expect(computeExactMatch("the", "a")).toBe(1);
    expect(computeExactMatch("", "tea")).toBe(0);
  });

  it("reads accents and other scripts as letters", () => {
    expect(computeExactMatch("Café", "café")).toBe(1);
    expect(computeExactMatch("aé", "é")).toBe(0);
  });
});

it("computeSubExactMatch looks for gold anywhere in the prediction", () => {
  expect(computeSubExactMatch("It was the Silver Lake, I think", "silver lake")).toBe(1);
  expect(computeSubExactMatch("lake", "silver lake")).toBe(0);
});

describe("computeTokenF1", () => {
  it("scores multisets without stemming: 2 of 4, 2 of 2 -> 2/3", () => {
    expect(computeTokenF1("silver lake silver coins", "Silver Lake")).toBeCloseTo(2 / 3, 12);
    expect(computeTokenF1("lakes", "lake")).toBe(0);
  });

  it("is 0 on empty sides", () => {
    expect(computeTokenF1("", "")).toBe(0);
    expect(computeTokenF1("tea", "")).toBe(0);
  });
});
