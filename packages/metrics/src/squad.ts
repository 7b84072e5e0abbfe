import { computeF1, countCommonTokens, removeAsciiPunctuation, splitWhitespace } from "./text.ts";

/** Articles as whole words; letters, digits and `_` of any script count as word characters, as in Python's `re`. */
const articles = /(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])/gu;

/**
 * SQuAD v1.1 answer normalisation: lower case, no ASCII punctuation, no a/an/the, single spaces. Punctuation goes
 * first, so "state-of-the-art" becomes "stateoftheart". Source: SQuAD evaluate-v1.1.py.
 */
export function normaliseSquadAnswer(text: string): string {
  const words = removeAsciiPunctuation(text.toLowerCase()).replace(articles, " ");
  return splitWhitespace(words).join(" ");
}

/** Whether the normalised texts are equal, as 1 or 0. Two texts that normalise to nothing are equal. */
export function computeSquadEm(prediction: string, gold: string): number {
  return normaliseSquadAnswer(prediction) === normaliseSquadAnswer(gold) ? 1 : 0;
}

/** Whether the normalised prediction contains the normalised gold anywhere, as 1 or 0. A long answer can only gain. */
export function computeSquadSubEm(prediction: string, gold: string): number {
  return normaliseSquadAnswer(prediction).includes(normaliseSquadAnswer(gold)) ? 1 : 0;
}

/** F1 of the token multisets after SQuAD normalisation, no stemming; 0 where nothing is shared (v1.1, not v2.0). */
export function computeSquadF1(prediction: string, gold: string): number {
  const predicted = splitWhitespace(normaliseSquadAnswer(prediction));
  const expected = splitWhitespace(normaliseSquadAnswer(gold));
  return computeF1(countCommonTokens(predicted, expected), predicted.length, expected.length);
}
