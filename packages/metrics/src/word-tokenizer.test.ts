import { expect, it } from "vitest";
import { tokeniseSentence } from "./word-tokenizer.ts";

// Expected tokens: NLTK 3.9.2, NLTKWordTokenizer().tokenize.
it.each([
  [
    "they'll say 'hello' to mina's cats' friends.",
    ["they", "'ll", "say", "'hello", "'", "to", "mina", "'s", "cats", "'", "friends", "."],
  ],
  ["'tis wanna go, d'ye?", ["'t", "is", "wan", "na", "go", ",", "d", "'ye", "?"]],
  ["see [the] {notes} -- now...", ["see", "[", "the", "]", "{", "notes", "}", "--", "now", "..."]],
  ["“quoted” «words»", ["“", "quoted", "”", "«", "words", "»"]],
  ["3,000 people at 5:30, or 6:x", ["3,000", "people", "at", "5:30", ",", "or", "6", ":", "x"]],
  ["she's\nhere, isn't\tshe", ["she", "'s", "here", ",", "is", "n't", "she"]],
  ["cannot\u0085gımme 'tıs wanna go", ["can", "not", "gım", "me", "'t", "ıs", "wan", "na", "go"]],
  ["a – b — c… d.e. f.", ["a", "–", "b", "—", "c…", "d.e.", "f", "."]],
  ["", []],
])("tokenises %j", (sentence, tokens) => {
  expect(tokeniseSentence(sentence)).toEqual(tokens);
});
