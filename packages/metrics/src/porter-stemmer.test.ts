import { expect, it } from "vitest";
import { computePorterStem } from "./porter-stemmer.ts";

// Expected stems: NLTK 3.8, PorterStemmer() in its default mode.
it.each([
  ["ponies", "poni"],
  ["ties", "tie"],
  ["tried", "tri"],
  ["agreed", "agre"],
  ["feed", "feed"],
  ["plastered", "plaster"],
  ["bled", "bled"],
  ["hissing", "hiss"],
  ["fizzed", "fizz"],
  ["hopping", "hop"],
  ["filing", "file"],
  ["happily", "happili"],
  ["say", "say"],
  ["adoption", "adopt"],
  ["opinion", "opinion"],
  ["geology", "geolog"],
  ["hopefully", "hope"],
  ["controlled", "control"],
  ["roll", "roll"],
])("stems %s to %s", (word, stem) => {
  expect(computePorterStem(word)).toBe(stem);
});

it.each([
  ["Skies", "sky"],
  ["DYING", "die"],
  ["innings", "inning"],
  ["proceed", "proceed"],
])("takes %s from the exception list, in any case", (word, stem) => {
  expect(computePorterStem(word)).toBe(stem);
});

it("leaves short, numeric, non-English and empty words", () => {
  for (const word of ["", "as", "is", "2023", "7th", "žluťoučký", "東京"])
    expect(computePorterStem(word)).toBe(word);
});
