import { splitSentences } from "./sentence-splitter.ts";
import { computeF1, countCommonTokens, splitWhitespace } from "./text.ts";
import { tokeniseSentence } from "./word-tokenizer.ts";

/** Lower case, each of `. , ! ?` a space; every other mark stays on its word. */
export function tokeniseSimply(text: string): string[] {
  return splitWhitespace(text.toLowerCase().replace(/[.,!?]/g, " "));
}

/**
 * Mem0's F1: of the two token sets, so that a repeated word counts once; no stemming, articles stay. 0 where a side is
 * empty. Source: mem0ai/mem0 evaluation/metrics/utils.py at 9315e303~1 (which A-Mem and Memory-R1 share).
 */
export function computeMem0F1(prediction: string, gold: string): number {
  const predicted = new Set(tokeniseSimply(prediction));
  const expected = new Set(tokeniseSimply(gold));
  let common = 0;
  for (const token of predicted) if (expected.has(token)) common += 1;
  return computeF1(common, predicted.size, expected.size);
}

/** Tokens of a whole text: NLTK's `word_tokenize` over the lower-cased text, sentence by sentence. */
export function tokeniseWords(
  text: string,
  toSentences: (lowerCasedText: string) => readonly string[] = splitSentences,
): string[] {
  return toSentences(text.toLowerCase()).flatMap(tokeniseSentence);
}

/**
 * Mem0's BLEU-1 against one reference: clipped unigram precision times the brevity penalty
 * exp(1 - |gold| / |prediction|) where the prediction is not longer. 0 where nothing is shared. The script's smoothing
 * (method 1) cannot change BLEU-1: higher orders have weight 0, and no shared word returns 0 before it.
 * `toSentences` replaces the sentence split (see `splitSentences` for what the default departs from).
 * Source: as `computeMem0F1`.
 */
export function computeMem0Bleu1(
  prediction: string,
  gold: string,
  toSentences: (lowerCasedText: string) => readonly string[] = splitSentences,
): number {
  const predicted = tokeniseWords(prediction, toSentences);
  const expected = tokeniseWords(gold, toSentences);
  const clipped = countCommonTokens(predicted, expected);
  if (clipped === 0) return 0;
  const brevityPenalty =
    predicted.length > expected.length ? 1 : Math.exp(1 - expected.length / predicted.length);
  return (brevityPenalty * clipped) / predicted.length;
}
