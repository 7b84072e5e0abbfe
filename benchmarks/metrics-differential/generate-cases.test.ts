import { expect, it } from "vitest";
import { generateAnswerCases, generateRetrievalCases, generateWords } from "./generate-cases.ts";

it("gives equal cases for equal seeds and others for others", () => {
  expect(generateAnswerCases(7, 50)).toEqual(generateAnswerCases(7, 50));
  expect(generateAnswerCases(7, 50)).not.toEqual(generateAnswerCases(8, 50));
  expect(generateRetrievalCases(7, 50)).toEqual(generateRetrievalCases(7, 50));
});

it("meets what the two languages see differently, and keeps to valid Unicode", () => {
  const texts = generateAnswerCases(0, 5000).flatMap(([prediction, gold]) => [prediction, gold]);
  const all = texts.join("");
  for (const odd of [
    "\u001c",
    "\u0085",
    "\ufeff",
    "\u200d",
    "\u0301",
    "İ",
    "ß",
    "Σ",
    "東",
    "😀",
    "’",
  ])
    expect(all, odd).toContain(odd);
  expect(texts).toContain("");
  expect(all).not.toMatch(/\p{Cs}/u);
});

it("makes words with every suffix, rankings without evidence, and empty rankings", () => {
  expect(generateWords()).toEqual(expect.arrayContaining(["hopping", "relational", "yyyyeed"]));
  const rankings = generateRetrievalCases(0, 500);
  expect(rankings.some(({ evidenceIds }) => evidenceIds.length === 0)).toBe(true);
  expect(rankings.some(({ retrievedIds }) => retrievedIds.length === 0)).toBe(true);
});
