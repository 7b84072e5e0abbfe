import { describe, expect, it } from "vitest";
import { computeMem0Bleu, computeMem0Em, computeMem0F1 } from "./mem0.ts";

describe("computeMem0F1", () => {
  it("compares sets: {the, red, boat} with {red, boat}: 2/3 and 1 -> 0.8", () => {
    expect(computeMem0F1("The red, red boat!", "red boat")).toBeCloseTo(0.8, 12);
  });

  it("does not stem and keeps marks other than . , ! ? on the word", () => {
    expect(computeMem0F1("boats", "boat")).toBe(0);
    expect(computeMem0F1("boat;", "boat")).toBe(0);
    expect(computeMem0F1("boat?", "boat")).toBe(1);
  });

  it("is 0 on empty sides, also where only punctuation is left", () => {
    expect(computeMem0F1("", "")).toBe(0);
    expect(computeMem0F1("...", "tea")).toBe(0);
  });
});

it("computeMem0Em forgives case and outer white space only, and is 0 where a side is empty", () => {
  expect(computeMem0Em(" Red Boat\n", "red boat")).toBe(1);
  expect(computeMem0Em("red boat.", "red boat")).toBe(0);
  expect(computeMem0Em("", "")).toBe(0);
});

describe("computeMem0Bleu", () => {
  it("of order 1 is clipped precision where the prediction is longer: 2 of 4 tokens", () => {
    // tea | tea | green | tea against green | tea: one tea and green count.
    expect(computeMem0Bleu("tea tea green tea", "green tea", 1)).toBe(0.5);
  });

  it("pays the brevity penalty where it is not: 1 of 1 token, exp(1 - 3/1)", () => {
    expect(computeMem0Bleu("Porto", "Porto in Portugal", 1)).toBeCloseTo(Math.exp(-2), 12);
  });

  it("counts punctuation as tokens: 2 of 3, gold shorter", () => {
    expect(computeMem0Bleu("7 May.", "7 May", 1)).toBeCloseTo(2 / 3, 12);
  });

  it("smooths the orders that share nothing: 2/3, 1/2, 0.1/1 and 0.1/1, each ** its weight", () => {
    expect(computeMem0Bleu("7 May.", "7 May", 2)).toBeCloseTo(Math.sqrt(1 / 3), 12);
    expect(computeMem0Bleu("7 May.", "7 May", 3)).toBeCloseTo((1 / 30) ** 0.33, 12);
    expect(computeMem0Bleu("7 May.", "7 May", 4)).toBeCloseTo((1 / 300) ** 0.25, 12);
  });

  it("is 0 where nothing is shared or a side is empty, at every order", () => {
    for (const order of [1, 2, 3, 4] as const) {
      expect(computeMem0Bleu("tea", "coffee", order)).toBe(0);
      expect(computeMem0Bleu("", "tea", order)).toBe(0);
      expect(computeMem0Bleu("tea", "", order)).toBe(0);
      expect(computeMem0Bleu("", "", order)).toBe(0);
    }
  });

  it("cuts sentences first: she moved . she sings . = 6 tokens, of which `moved` counts", () => {
    expect(computeMem0Bleu("She moved. She sings.", "moved", 1)).toBeCloseTo(1 / 6, 12);
  });
});
