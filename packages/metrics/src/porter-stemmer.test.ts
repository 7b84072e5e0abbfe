import { expect, it } from "vitest";
import { computePorterStem } from "./porter-stemmer.ts";

// Expected stems: NLTK 3.9.2, PorterStemmer() in its default mode.
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
])("takes %s from the exception list, in any case (NLTK: in lower case only)", (word, stem) => {
  expect(computePorterStem(word)).toBe(stem);
});

// Characters outside of the basic plane are single letters to Python, and two to JavaScript.
it.each([
  ["😀s", "😀s"],
  ["😀😀ed", "😀😀ed"],
  ["a😀😀ed", "a😀"],
  ["𝒶ing", "𝒶ing"],
  ["o𝒶ing", "o𝒶e"],
  ["😀ies", "😀ie"],
])("stems %s to %s", (word, stem) => {
  expect(computePorterStem(word)).toBe(stem);
});

it("leaves short, numeric, non-English and empty words", () => {
  for (const word of ["", "as", "is", "2023", "7th", "žluťoučký", "東京"])
    expect(computePorterStem(word)).toBe(word);
});
