import { describe, expect, it } from "vitest";
import { computeRouge, tokeniseForRouge } from "./rouge.ts";

describe("tokeniseForRouge", () => {
  it("keeps ASCII letters and digits only", () => {
    expect(tokeniseForRouge("It’s a café, N°5!", false)).toEqual(["it", "s", "a", "caf", "n", "5"]);
    expect(tokeniseForRouge("東京", false)).toEqual([]);
  });

  it("stems words of four letters and more", () => {
    expect(tokeniseForRouge("was racing cars ties dies", true)).toEqual([
      "was",
      "race",
      "car",
      "tie",
      "die",
    ]);
    expect(tokeniseForRouge("its", true)).toEqual(["its"]);
  });
});

describe("computeRouge", () => {
  it("1 counts words: 2 of 3 predicted, 2 of 4 expected", () => {
    const score = computeRouge("red boat red", "a red wooden boat", "1");
    expect(score.precision).toBeCloseTo(2 / 3, 12);
    expect(score.recall).toBe(0.5);
    expect(score.f1).toBeCloseTo(4 / 7, 12);
  });

  it("2 counts pairs: (red boat) of 2 and of 3", () => {
    const score = computeRouge("the red boat", "a small red boat", "2");
    expect(score).toEqual({ precision: 0.5, recall: 1 / 3, f1: 0.4 });
    expect(computeRouge("boat", "boat", "2")).toEqual({ precision: 0, recall: 0, f1: 0 });
  });

  it("l counts the longest sequence in order, with gaps; LoCoMo's scorer returns ROUGE-1 here", () => {
    // red … boat: 2 of 4 and 2 of 3. In other order all three words are shared.
    const score = computeRouge("boat red then boat", "red boat then", "l");
    expect(score.precision).toBe(0.5);
    expect(score.recall).toBeCloseTo(2 / 3, 12);
    expect(computeRouge("boat red then boat", "red boat then", "1").recall).toBe(1);
  });

  it("stems where asked", () => {
    expect(computeRouge("racing boats", "race boat", "l").recall).toBe(0);
    expect(computeRouge("racing boats", "race boat", "l", { isStemmed: true }).recall).toBe(1);
  });

  it("is 0 where a side has no token", () => {
    for (const kind of ["1", "2", "l"] as const) {
      expect(computeRouge("", "", kind)).toEqual({ precision: 0, recall: 0, f1: 0 });
      expect(computeRouge("東京", "東京", kind).recall).toBe(0);
    }
  });
});
