import { computePorterStem } from "./porter-stemmer.ts";
import { computeF1, countCommonTokens, removeAsciiPunctuation, splitWhitespace } from "./text.ts";

/** "and" goes with the articles here; the scorer's `regex` package also counts combining marks as word characters. */
const droppedWords =
  /(?<![\p{Alphabetic}\p{M}\p{Nd}\p{Pc}])(?:a|an|the|and)(?![\p{Alphabetic}\p{M}\p{Nd}\p{Pc}])/gu;

/** The official scorer's `normalize_answer`: no commas, lower case, no ASCII punctuation, no a/an/the/and, single spaces. */
export function normaliseLocomoAnswer(text: string): string {
  const words = removeAsciiPunctuation(text.toLowerCase()).replace(droppedWords, " ");
  return splitWhitespace(words).join(" ");
}

/** Normalised and stemmed tokens, as the official F1 compares them. */
export function tokeniseLocomoAnswer(text: string): string[] {
  return splitWhitespace(normaliseLocomoAnswer(text)).map(computePorterStem);
}

/** The scorer's `f1_score`: F1 of the stemmed token multisets; 0 where nothing is shared. */
export function computeStemmedF1(prediction: string, gold: string): number {
  const predicted = tokeniseLocomoAnswer(prediction);
  const expected = tokeniseLocomoAnswer(gold);
  return computeF1(countCommonTokens(predicted, expected), predicted.length, expected.length);
}

/**
 * The scorer's `f1` for multi-hop answers: both sides are cut at commas, and each gold part takes its best predicted
 * part. A mean over gold parts only: extra parts in the prediction cost nothing.
 */
export function computeMultiAnswerF1(prediction: string, gold: string): number {
  const predictedParts = prediction.split(",");
  const goldParts = gold.split(",");
  let sum = 0;
  for (const part of goldParts) {
    sum += Math.max(...predictedParts.map((predicted) => computeStemmedF1(predicted, part)));
  }
  return sum / goldParts.length;
}

/**
 * Whether a reply says that the conversation does not hold the answer, by the two phrases that the official scorer knows.
 * Source: snap-research/locomo task_eval/evaluation.py, `eval_question_answering`, category 5.
 */
export function isLocomoRefusal(prediction: string): boolean {
  const lower = prediction.toLowerCase();
  return lower.includes("no information available") || lower.includes("not mentioned");
}

/**
 * The official LoCoMo score of one answer by category: 1 multi-answer F1; 2 and 4 stemmed F1; 3 stemmed F1 against the
 * gold up to its first `;`; 5 whether the reply declines (gold unused). Any other code, or none, gets the plain stemmed
 * F1, where the official script stops with an error. Not rounded; the script rounds each score to 3 decimals.
 * Source: snap-research/locomo task_eval/evaluation.py, `eval_question_answering`.
 */
export function computeLocomoF1(prediction: string, gold: string, categoryCode?: string): number {
  switch (categoryCode) {
    case "1":
      return computeMultiAnswerF1(prediction, gold);
    case "3":
      return computeStemmedF1(prediction, gold.split(";")[0] ?? "");
    case "5":
      return isLocomoRefusal(prediction) ? 1 : 0;
    default:
      return computeStemmedF1(prediction, gold);
  }
}
