/** What two lists of tokens share, as multisets and as sets: every F1, BLEU and ROUGE here counts with these. */

/** Above this many comparisons a table of counts is faster than looking through the list. */
const longLists = 1024;

/** Size of the multiset intersection of two token lists. */
export function countCommonTokens(first: readonly string[], second: readonly string[]): number {
  return first.length * second.length > longLists
    ? countWithTable(first, second)
    : countWithList(first, second);
}

function countWithList(first: readonly string[], second: readonly string[]): number {
  const left = [...second];
  let common = 0;
  for (const token of first) {
    const position = left.indexOf(token);
    if (position === -1) continue;
    const last = left.pop();
    if (last !== undefined && position < left.length) left[position] = last;
    common += 1;
  }
  return common;
}

function countWithTable(first: readonly string[], second: readonly string[]): number {
  const left = new Map<string, number>();
  for (const token of second) left.set(token, (left.get(token) ?? 0) + 1);
  let common = 0;
  for (const token of first) {
    const remaining = left.get(token) ?? 0;
    if (remaining === 0) continue;
    left.set(token, remaining - 1);
    common += 1;
  }
  return common;
}

/** Precision, recall and their harmonic mean, each from 0 to 1. */
export interface OverlapScore {
  readonly precision: number;
  readonly recall: number;
  readonly f1: number;
}

/** From counts. All 0 where nothing is common, so that empty sides give 0 and never NaN. */
export function computeOverlapScore(
  common: number,
  predicted: number,
  expected: number,
): OverlapScore {
  if (common === 0) return { precision: 0, recall: 0, f1: 0 };
  const precision = common / predicted;
  const recall = common / expected;
  return { precision, recall, f1: (2 * precision * recall) / (precision + recall) };
}

/** F1 of the token multisets: a repeated word counts as often as both sides have it. 0 where nothing is shared. */
export function computeMultisetF1(
  predicted: readonly string[],
  expected: readonly string[],
): number {
  const common = countCommonTokens(predicted, expected);
  return computeOverlapScore(common, predicted.length, expected.length).f1;
}

/** F1 of the token sets: a repeated word counts once. 0 where nothing is shared. */
export function computeSetF1(predicted: readonly string[], expected: readonly string[]): number {
  return computeMultisetF1(listDistinct(predicted), listDistinct(expected));
}

function listDistinct(tokens: readonly string[]): readonly string[] {
  if (tokens.length ** 2 > longLists) return [...new Set(tokens)];
  return tokens.filter((token, index) => tokens.indexOf(token) === index);
}

/** Runs of `order` tokens, as one text each. A token holds no white space, so two different runs are never one text. */
export function listNgrams(tokens: readonly string[], order: number): readonly string[] {
  if (order === 1) return tokens;
  const ngrams: string[] = [];
  for (let start = 0; start + order <= tokens.length; start += 1) {
    ngrams.push(tokens.slice(start, start + order).join(" "));
  }
  return ngrams;
}
