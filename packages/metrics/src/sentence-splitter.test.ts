import { expect, it } from "vitest";
import { splitSentences } from "./sentence-splitter.ts";

// Expected sentences: NLTK 3.9.2, sent_tokenize with its trained English model.
it.each([
  ["one sentence.", ["one sentence."]],
  [
    "she moved to porto. she likes it!  really? yes.",
    ["she moved to porto.", "she likes it!", "really?", "yes."],
  ],
  ['he said "no." then he left.', ['he said "no."', "then he left."]],
  ["dr. kim met mr. lee at 5 p.m. on monday.", ["dr. kim met mr. lee at 5 p.m. on monday."]],
  ["tea, cake, etc. they left", ["tea, cake, etc.", "they left"]],
  ["we wait... then we go.", ["we wait... then we go."]],
  ["we wait. . . then we go.", ["we wait.", ".", ".", "then we go."]],
  ["it was j. smith in no. 5. they left", ["it was j. smith in no.", "5. they left"]],
  ["born in 1990. 12 years later", ["born in 1990.", "12 years later"]],
  ["really?! yes", ["really?!", "yes"]],
  ["no.(not yet) maybe", ["no.", "(not yet) maybe"]],
  ["(yes.) (no.) done", ["(yes.)", "(no.)", "done"]],
  [" tea.\ncoffee.\n", [" tea.", "coffee."]],
  ["", []],
  ["   ", []],
])("splits %j", (text, sentences) => {
  expect(splitSentences(text)).toEqual(sentences);
});
