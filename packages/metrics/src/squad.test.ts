import { describe, expect, it } from "vitest";
import { computeSquad2F1, computeSquadEm, computeSquadF1, computeSquadSubEm } from "./squad.ts";

describe("computeSquadEm", () => {
  it("forgives case, articles, punctuation and spaces, and nothing else", () => {
    expect(computeSquadEm("  The border-collie. ", "bordercollie")).toBe(1);
    expect(computeSquadEm("border collies", "border collie")).toBe(0);
    expect(computeSquadEm("cat and dog", "cat dog")).toBe(0);
  });

  it("is 1 where both sides normalise to nothing, and 0 where one does", () => {
    expect(computeSquadEm("the", "a")).toBe(1);
    expect(computeSquadEm("", "tea")).toBe(0);
  });

  it("reads accents and other scripts as letters", () => {
    expect(computeSquadEm("Café", "café")).toBe(1);
    expect(computeSquadEm("aé", "é")).toBe(0);
  });
});

it("computeSquadSubEm looks for gold anywhere in the prediction", () => {
  expect(computeSquadSubEm("It was the Silver Lake, I think", "silver lake")).toBe(1);
  expect(computeSquadSubEm("lake", "silver lake")).toBe(0);
});

describe("computeSquadF1", () => {
  it("scores multisets without stemming: 2 of 4, 2 of 2 -> 2/3", () => {
    expect(computeSquadF1("silver lake silver coins", "Silver Lake")).toBeCloseTo(2 / 3, 12);
    expect(computeSquadF1("lakes", "lake")).toBe(0);
  });

  it("is 0 on empty sides", () => {
    expect(computeSquadF1("", "")).toBe(0);
    expect(computeSquadF1("tea", "")).toBe(0);
  });
});

it("computeSquad2F1 differs from v1.1 where both sides are empty only", () => {
  expect(computeSquad2F1("the", "a")).toBe(1);
  expect(computeSquad2F1("tea", "a")).toBe(0);
  expect(computeSquad2F1("silver lake silver coins", "Silver Lake")).toBeCloseTo(2 / 3, 12);
});
