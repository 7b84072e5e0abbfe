import { computePorterStem } from "./porter-stemmer.ts";
import {
  computeOverlapScore,
  countCommonTokens,
  listNgrams,
  type OverlapScore,
} from "./token-overlap.ts";

/** 1 and 2 count words and pairs of words, `l` the longest common subsequence of words. */
export type RougeKind = "1" | "2" | "l";

/** Words of this length or less are not stemmed. */
const longestUnstemmed = 3;

/** Lower-cased runs of ASCII letters and digits, so that "café" is "caf"; stemmed where asked. */
export function tokeniseForRouge(text: string, isStemmed: boolean): string[] {
  const tokens = text.toLowerCase().match(/[a-z0-9]+/g) ?? [];
  if (!isStemmed) return tokens;
  return tokens.map((token) =>
    token.length > longestUnstemmed ? computePorterStem(token) : token,
  );
}

/** Length of the longest sequence of tokens that both lists hold in this order, with gaps. */
function countCommonSubsequence(first: readonly string[], second: readonly string[]): number {
  // Row by row of the usual table: best[j] is the length over the tokens of `first` so far and j tokens of `second`.
  const best: number[] = Array.from({ length: second.length + 1 }, () => 0);
  for (const token of first) {
    let diagonal = 0;
    for (const [index, other] of second.entries()) {
      const above = best[index + 1] ?? 0;
      best[index + 1] = token === other ? diagonal + 1 : Math.max(above, best[index] ?? 0);
      diagonal = above;
    }
  }
  return best[second.length] ?? 0;
}

/**
 * ROUGE of one prediction against one reference. Precision is the shared part of the prediction, recall of the gold; all
 * are 0 where a side has no token. The recall of `l` is the ROUGE-L that MemGPT reports for deep memory retrieval.
 * Source: rouge_score 0.1.2 (google-research), default tokeniser; C.-Y. Lin, 2004.
 */
export function computeRouge(
  prediction: string,
  gold: string,
  kind: RougeKind,
  options: { readonly isStemmed?: boolean } = {},
): OverlapScore {
  const isStemmed = options.isStemmed ?? false;
  const predicted = tokeniseForRouge(prediction, isStemmed);
  const expected = tokeniseForRouge(gold, isStemmed);
  if (kind === "l") {
    const common = countCommonSubsequence(predicted, expected);
    return computeOverlapScore(common, predicted.length, expected.length);
  }
  const order = kind === "1" ? 1 : 2;
  const predictedNgrams = listNgrams(predicted, order);
  const expectedNgrams = listNgrams(expected, order);
  return computeOverlapScore(
    countCommonTokens(predictedNgrams, expectedNgrams),
    predictedNgrams.length,
    expectedNgrams.length,
  );
}
