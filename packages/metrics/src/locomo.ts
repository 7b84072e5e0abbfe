import { computePorterStem } from "./porter-stemmer.ts";
import { createAnswerTokeniser, regexPackageWordClass } from "./python-text.ts";
import { computeMultisetF1 } from "./token-overlap.ts";

/** "and" goes with the articles here; the scorer's word boundaries are those of the package `regex`. */
const tokeniseUnstemmed = createAnswerTokeniser(["a", "an", "the", "and"], regexPackageWordClass);

/** The scorer's `normalize_answer`: no commas, lower case, no ASCII punctuation, no a/an/the/and, single spaces. */
export function normaliseLocomoAnswer(text: string): string {
  return tokeniseUnstemmed(text).join(" ");
}

/** Normalised and stemmed tokens, as the official F1 compares them. */
export function tokeniseLocomoAnswer(text: string): string[] {
  return tokeniseUnstemmed(text).map(computePorterStem);
}

/** The scorer's `f1_score`: F1 of the stemmed token multisets; 0 where nothing is shared. */
export function computeStemmedF1(prediction: string, gold: string): number {
  return computeMultisetF1(tokeniseLocomoAnswer(prediction), tokeniseLocomoAnswer(gold));
}

/**
 * The scorer's `f1` for multi-hop answers: both sides are cut at commas, and each gold part takes its best predicted
 * part. A mean over gold parts only: extra parts in the prediction cost nothing.
 */
export function computeMultiAnswerF1(prediction: string, gold: string): number {
  const predictedParts = prediction.split(",").map(tokeniseLocomoAnswer);
  const goldParts = gold.split(",").map(tokeniseLocomoAnswer);
  let sum = 0;
  for (const expected of goldParts) {
    let best = 0;
    for (const predicted of predictedParts) {
      best = Math.max(best, computeMultisetF1(predicted, expected));
    }
    sum += best;
  }
  return sum / goldParts.length;
}

/** The scorer's `exact_match_score`: whether the sets of normalised, unstemmed words are equal, as 1 or 0. */
export function computeLocomoSetEm(prediction: string, gold: string): number {
  const predicted = new Set(tokeniseUnstemmed(prediction));
  const expected = new Set(tokeniseUnstemmed(gold));
  if (predicted.size !== expected.size) return 0;
  for (const token of predicted) if (!expected.has(token)) return 0;
  return 1;
}

/** LoCoMo's code of the adversarial questions, whose score is the refusal and not the gold answer. */
export const adversarialCategoryCode = "5";

/**
 * The scorer's rule for category 5: whether a reply says that the conversation does not hold the answer, by the two
 * phrases that the scorer knows, as 1 or 0. Gold is not looked at.
 */
export function computeLocomoRefusal(prediction: string): number {
  const lower = prediction.toLowerCase();
  return lower.includes("no information available") || lower.includes("not mentioned") ? 1 : 0;
}

/**
 * What category 3 is compared with: the gold up to its first `;`, behind which the data set explains its answer.
 */
function cutExplanation(gold: string): string {
  return gold.split(";")[0] ?? "";
}

/**
 * The official LoCoMo score of one answer by category: 1 multi-answer F1; 2 and 4 stemmed F1; 3 stemmed F1 against the
 * gold up to its first `;`; 5 whether the reply declines (gold unused). Any other code, or none, gets the plain stemmed
 * F1, where the official script stops with an error. Not rounded; the script rounds each score to 3 decimals.
 * Source: snap-research/locomo task_eval/evaluation.py at cbfbc1d, `eval_question_answering`.
 */
export function computeLocomoF1(prediction: string, gold: string, categoryCode?: string): number {
  switch (categoryCode) {
    case "1":
      return computeMultiAnswerF1(prediction, gold);
    case "3":
      return computeStemmedF1(prediction, cutExplanation(gold));
    case adversarialCategoryCode:
      return computeLocomoRefusal(prediction);
    default:
      return computeStemmedF1(prediction, gold);
  }
}
