import { describe, expect, it } from "vitest";
import { computeMem0Bleu1, computeMem0F1 } from "./mem0.ts";

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

describe("computeMem0Bleu1", () => {
  it("is clipped precision where the prediction is longer: 2 of 4 tokens", () => {
    // tea | tea | green | tea against green | tea: one tea and green count.
    expect(computeMem0Bleu1("tea tea green tea", "green tea")).toBe(0.5);
  });

  it("pays the brevity penalty where it is not: 1 of 1 token, exp(1 - 3/1)", () => {
    expect(computeMem0Bleu1("Porto", "Porto in Portugal")).toBeCloseTo(Math.exp(-2), 12);
  });

  it("counts punctuation as tokens: 2 of 3, gold shorter", () => {
    expect(computeMem0Bleu1("7 May.", "7 May")).toBeCloseTo(2 / 3, 12);
  });

  it("is 0 where nothing is shared or a side is empty", () => {
    expect(computeMem0Bleu1("tea", "coffee")).toBe(0);
    expect(computeMem0Bleu1("", "tea")).toBe(0);
    expect(computeMem0Bleu1("tea", "")).toBe(0);
    expect(computeMem0Bleu1("", "")).toBe(0);
  });

  it("takes another sentence split", () => {
    // With a split: she moved . she sings . = 6 tokens, `moved` counts. As one sentence `moved.` stays whole: 0.
    expect(computeMem0Bleu1("She moved. She sings.", "moved")).toBeCloseTo(1 / 6, 12);
    expect(computeMem0Bleu1("She moved. She sings.", "moved", (text) => [text])).toBe(0);
  });
});
