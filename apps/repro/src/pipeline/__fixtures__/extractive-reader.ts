import type { GenerateRequest, TextGenerator } from "@memory-r1/spec";
import { createScriptedGenerator, lastMessage } from "./scripted-generator.ts";

/** Words that say nothing of what a text is about. */
const stopWords = new Set(
  "a an and at by did do does for from had has have he her his how in is it its many much of on or she that the their they this to was were what when where which who whom whose why will with would".split(
    " ",
  ),
);

const wordsOf = (text: string): string[] => text.match(/[\p{L}\p{N}]+/gu) ?? [];
/** "coaches" and "coach" are one word here: the first five letters. */
const stemOf = (word: string): string => word.toLowerCase().slice(0, 5);
const contentWords = (text: string): string[] =>
  wordsOf(text).filter((word) => !stopWords.has(word.toLowerCase()));

/**
 * A reader without a model, for prompts of the variant `short`: it takes the memory that shares the most words with
 * the question (the last of equals, which is the newest) and gives what that memory adds to the question, at most six
 * words; the date alone where the question is when. Without memories it guesses by the form of the question.
 */
export function createExtractiveReader(): TextGenerator {
  return createScriptedGenerator(answer);
}

function answer(request: GenerateRequest): string {
  const [before = "", question = ""] = lastMessage(request).split("\n\nQuestion: ");
  const lines = before.split("\n").slice(1);
  if (lines[0] === "(none)") return guess(question);
  const asked = new Set(contentWords(question).map(stemOf));
  const overlap = (text: string) =>
    new Set(
      contentWords(text)
        .map(stemOf)
        .filter((stem) => asked.has(stem)),
    ).size;
  const texts = lines.map((line) => line.slice(line.indexOf(": ") + 2));
  const best = texts.reduce((top, text) => (overlap(text) >= overlap(top) ? text : top), "");
  const date = /\d+ \p{Lu}\p{L}+ \d{4}/u.exec(best)?.[0];
  if (question.startsWith("When") && date !== undefined) return date;
  const added = contentWords(best).filter((word) => !asked.has(stemOf(word)));
  return added.slice(0, 6).join(" ");
}

function guess(question: string): string {
  if (question.startsWith("When")) return "2023";
  if (question.startsWith("How many")) return "2";
  return /^(Does|Is|Would)/.test(question) ? "Likely yes" : "unknown";
}
