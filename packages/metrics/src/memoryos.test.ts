import { expect, it } from "vitest";
import { computeMemoryosF1 } from "./memoryos.ts";

it("cuts contractions and hyphens: {it, s, a, re, run} and {a, re, run}: 3/5 and 1 -> 0.75", () => {
  expect(computeMemoryosF1("It's a re-run", "a re-run")).toBeCloseTo(0.75, 12);
});

it("counts a repeated word once and does not stem", () => {
  expect(computeMemoryosF1("tea, tea, tea", "tea")).toBe(1);
  expect(computeMemoryosF1("boats", "boat")).toBe(0);
});

it("is 0 where a side has no word", () => {
  expect(computeMemoryosF1("", "")).toBe(0);
  expect(computeMemoryosF1("!?", "tea")).toBe(0);
});
