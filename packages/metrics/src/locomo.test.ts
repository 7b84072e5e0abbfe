import { describe, expect, it } from "vitest";
import {
  computeLocomoF1,
  computeLocomoRefusal,
  computeLocomoSetEm,
  normaliseLocomoAnswer,
} from "./locomo.ts";

describe("normaliseLocomoAnswer", () => {
  it("drops and, articles and punctuation as whole words only", () => {
    expect(normaliseLocomoAnswer("The band, a sandwich and an Anthem!")).toBe(
      "band sandwich anthem",
    );
  });

  it("keeps typographic marks, which are no ASCII punctuation", () => {
    expect(normaliseLocomoAnswer("Mina’s “cat”")).toBe("mina’s “cat”");
  });

  it("does not take a letter with a combining accent for an article", () => {
    expect(normaliseLocomoAnswer("a\u0300 la carte")).toBe("a\u0300 la carte");
  });
});

describe("computeLocomoF1", () => {
  it("scores stemmed multisets: 2 of 3 predicted, 2 of 2 expected -> 2 * 2/3 * 1 / (5/3) = 0.8", () => {
    expect(computeLocomoF1("She sails boats", "sailing boat", "4")).toBeCloseTo(0.8, 12);
  });

  it("counts a repeated word as often as gold has it: 1 of 3, 1 of 1 -> 0.5", () => {
    expect(computeLocomoF1("tea tea tea", "tea", "2")).toBeCloseTo(0.5, 12);
  });

  it("category 1 averages over gold parts: (1 + 0) / 2, extra parts free", () => {
    expect(computeLocomoF1("yoga, tennis, chess", "yoga, surfing", "1")).toBe(0.5);
    expect(computeLocomoF1("yoga, tennis, chess", "yoga, surfing", "4")).toBeCloseTo(0.4, 12);
  });

  it("category 3 compares with the gold before its first semicolon only", () => {
    expect(computeLocomoF1("likely yes", "Likely yes; she reads a lot; and often", "3")).toBe(1);
    expect(computeLocomoF1("likely yes", "Likely yes; she reads a lot", "4")).toBeLessThan(1);
  });

  it("category 5 asks whether the reply declines, and does not look at gold", () => {
    expect(computeLocomoF1("That is NOT MENTIONED anywhere.", "tea", "5")).toBe(1);
    expect(computeLocomoF1("tea", "tea", "5")).toBe(0);
  });

  it("scores 0 and never NaN on empty sides, in every category", () => {
    for (const code of ["1", "2", "3", "4"]) {
      expect(computeLocomoF1("", "tea", code)).toBe(0);
      expect(computeLocomoF1("tea", "", code)).toBe(0);
      expect(computeLocomoF1("the", "an", code)).toBe(0);
    }
  });

  it("uses the plain F1 where no LoCoMo category is known", () => {
    expect(computeLocomoF1("boats", "boat")).toBe(1);
    expect(computeLocomoF1("boats", "boat", "single-session-user")).toBe(1);
  });
});

it("computeLocomoRefusal knows two phrases, in any case", () => {
  expect(computeLocomoRefusal("NO INFORMATION AVAILABLE on that")).toBe(1);
  expect(computeLocomoRefusal("It is Not Mentioned.")).toBe(1);
  expect(computeLocomoRefusal("I do not know")).toBe(0);
  expect(computeLocomoRefusal("")).toBe(0);
});

it("computeLocomoSetEm compares sets of unstemmed words", () => {
  expect(computeLocomoSetEm("the cat, the cat and a dog", "dog cat")).toBe(1);
  expect(computeLocomoSetEm("cats dog", "dog cat")).toBe(0);
  expect(computeLocomoSetEm("cat", "dog cat")).toBe(0);
  expect(computeLocomoSetEm("the", "")).toBe(1);
});
