import { describe, expect, it } from "vitest";
import { computeBleu, computePlainBleu, tokeniseWords } from "./bleu.ts";

// Checked with nltk.translate.bleu_score.sentence_bleu 3.9.2; the arithmetic is that of the comments.

describe("computeBleu", () => {
  const predicted = ["a", "b", "c", "d"];
  const expected = ["a", "b", "x", "d"];

  it("is the weighted geometric mean of the clipped precisions: 3/4 and 1/3, equal length", () => {
    expect(computeBleu(predicted, expected, [0.5, 0.5], "none")).toBeCloseTo(Math.sqrt(0.25), 12);
  });

  it("is 0 without smoothing where an order shares nothing, and has 0.1 of 2 trigrams with it", () => {
    const weights = [1 / 3, 1 / 3, 1 / 3];
    expect(computeBleu(predicted, expected, weights, "none")).toBe(0);
    expect(computeBleu(predicted, expected, weights, "method-1")).toBeCloseTo(
      Math.cbrt((3 / 4) * (1 / 3) * (0.1 / 2)),
      12,
    );
  });

  it("takes an order longer than the prediction for one n-gram that is not shared: 1 * 0.1", () => {
    expect(computeBleu(["a"], ["a"], [0.5, 0.5], "method-1")).toBeCloseTo(Math.sqrt(0.1), 12);
  });

  it("pays the brevity penalty unless the prediction is longer: exp(1 - 4/2)", () => {
    expect(computeBleu(["a", "b"], expected, [1], "none")).toBeCloseTo(Math.exp(-1), 12);
    expect(computeBleu([...predicted, "e"], expected, [1], "none")).toBe(3 / 5);
  });

  it("is 0 where no word is shared, smoothed or not, and where a side is empty", () => {
    for (const smoothing of ["none", "method-1"] as const) {
      expect(computeBleu(["y"], expected, [1], smoothing)).toBe(0);
      expect(computeBleu([], expected, [0.5, 0.5], smoothing)).toBe(0);
      expect(computeBleu(predicted, [], [0.5, 0.5], smoothing)).toBe(0);
      expect(computeBleu([], [], [0.5, 0.5], smoothing)).toBe(0);
    }
  });
});

it("computePlainBleu is 1 for a text of four words against itself, at every order", () => {
  for (const order of [1, 2, 3, 4] as const) {
    expect(computePlainBleu("She paints red boats", "she paints red boats", order)).toBe(1);
  }
});

it("tokeniseWords cuts off the full stop of every sentence", () => {
  expect(tokeniseWords("She moved. Dr. Kim didn't!")).toEqual([
    "she",
    "moved",
    ".",
    "dr.",
    "kim",
    "did",
    "n't",
    "!",
  ]);
});
