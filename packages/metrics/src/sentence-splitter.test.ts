import { expect, it } from "vitest";
import { splitSentences } from "./sentence-splitter.ts";

it.each([
  ["one sentence.", ["one sentence."]],
  [
    "she moved to porto. she likes it!  really? yes.",
    ["she moved to porto.", "she likes it!", "really?", "yes."],
  ],
  ['he said "no." then he left.', ['he said "no."', "then he left."]],
  ["dr. kim met mr. lee at 5 p.m. on monday.", ["dr. kim met mr. lee at 5 p.m. on monday."]],
  ["we wait... then we go.", ["we wait... then we go."]],
  ["it was j. smith in no. 5. they left", ["it was j. smith in no.", "5. they left"]],
  ["born in 1990. 12 years later", ["born in 1990.", "12 years later"]],
  ["", []],
  ["   ", []],
])("splits %j", (text, sentences) => {
  expect(splitSentences(text)).toEqual(sentences);
});
