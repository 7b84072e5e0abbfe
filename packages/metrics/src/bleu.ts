import { splitSentences } from "./sentence-splitter.ts";
import { countCommonTokens, listNgrams } from "./token-overlap.ts";
import { tokeniseSentence } from "./word-tokenizer.ts";

/** Tokens of a whole text: NLTK's `word_tokenize` over the lower-cased text, sentence by sentence. */
export function tokeniseWords(text: string): string[] {
  const [first = "", ...others] = splitSentences(text.toLowerCase());
  const tokens = tokeniseSentence(first);
  for (const sentence of others) tokens.push(...tokeniseSentence(sentence));
  return tokens;
}

/** What is taken for the precision of an order of which no n-gram is shared. */
export type BleuSmoothing =
  /** 0, and so is the score: BLEU as published. */
  | "none"
  /** 0.1 over the number of n-grams: method 1 of Chen and Cherry (2014) with NLTK's epsilon. */
  | "method-1";

const methodOneEpsilon = 0.1;

/**
 * BLEU of one prediction against one reference: the weighted geometric mean of the clipped n-gram precisions, times the
 * brevity penalty exp(1 - |gold| / |prediction|) where the prediction is not longer. 0 where no word is shared, under
 * either smoothing. A prediction shorter than an order has one n-gram of it, which is not shared.
 * @param weights of the orders 1, 2, … in turn.
 * Source: nltk.translate.bleu_score.sentence_bleu 3.9.2; K. Papineni et al., 2002. Departs: without smoothing NLTK gives
 * the smallest positive number in place of a precision of 0, and so a score of up to 1e-77.
 */
export function computeBleu(
  predicted: readonly string[],
  expected: readonly string[],
  weights: readonly number[],
  smoothing: BleuSmoothing,
): number {
  let score =
    predicted.length > expected.length ? 1 : Math.exp(1 - expected.length / predicted.length);
  for (const [index, weight] of weights.entries()) {
    const order = index + 1;
    const common = countCommonTokens(listNgrams(predicted, order), listNgrams(expected, order));
    if (common === 0 && (order === 1 || smoothing === "none")) return 0;
    const ngrams = Math.max(1, predicted.length - index);
    score *= ((common === 0 ? methodOneEpsilon : common) / ngrams) ** weight;
  }
  return score;
}

/** Orders of n-grams that a score takes: 1 to 4, as in every published table. */
export type BleuOrder = 1 | 2 | 3 | 4;

/** BLEU-N as published: the orders 1 to N weigh the same, and one that shares nothing makes the score 0. */
export function computePlainBleu(prediction: string, gold: string, order: BleuOrder): number {
  const weights = Array.from({ length: order }, () => 1 / order);
  return computeBleu(tokeniseWords(prediction), tokeniseWords(gold), weights, "none");
}
