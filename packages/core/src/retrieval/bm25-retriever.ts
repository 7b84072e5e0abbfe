import { type Retriever, topByScore } from "./retriever.ts";

/** `k1` sets how fast repeated terms saturate, `b` (0..1) how much long texts are discounted. */
export interface Bm25Options {
  readonly k1?: number;
  readonly b?: number;
}

/**
 * Ranks by BM25 as Lucene computes it since version 8: idf = ln(1 + (N - n + 0.5) / (n + 0.5)) and
 * tf / (tf + k1 (1 - b + b length / mean length)), without the constant factor k1 + 1. Statistics are those of the
 * items of the call, so a bank is always ranked against itself.
 * Source: Kamphuis et al., "Which BM25 do you mean?", ECIR 2020, variant "Lucene (accurate)".
 */
export function createBm25Retriever(options: Bm25Options = {}): Retriever {
  return {
    name: "bm25",
    rank: (query, items, count) => {
      const scores = computeBm25Scores(
        query,
        items.map((item) => item.text),
        options,
      );
      return Promise.resolve(topByScore(items, (_, position) => scores[position] ?? 0, count));
    },
  };
}

/** One score per text, in order; 0 where no term of the query occurs. */
export function computeBm25Scores(
  query: string,
  texts: readonly string[],
  { k1 = 1.2, b = 0.75 }: Bm25Options = {},
): readonly number[] {
  const documents = texts.map((text) => {
    const tokens = splitTerms(text);
    return { length: tokens.length, counts: countTerms(tokens) };
  });
  const meanLength = documents.reduce((sum, { length }) => sum + length, 0) / documents.length;
  const weights = [...new Set(splitTerms(query))].map((term) => {
    const containing = documents.filter(({ counts }) => counts.has(term)).length;
    return { term, idf: Math.log(1 + (documents.length - containing + 0.5) / (containing + 0.5)) };
  });
  return documents.map(({ length, counts }) =>
    weights.reduce((sum, { term, idf }) => {
      const count = counts.get(term) ?? 0;
      // Also keeps the division below away from 0 / 0 where every text is empty.
      if (count === 0) return sum;
      return sum + (idf * count) / (count + k1 * (1 - b + (b * length) / meanLength));
    }, 0),
  );
}

/** Lower-cased runs of letters, marks and digits of any script; no stemming, no stop words. */
function splitTerms(text: string): readonly string[] {
  return (
    text
      .normalize("NFKC")
      .toLowerCase()
      .match(/[\p{L}\p{M}\p{N}]+/gu) ?? []
  );
}

function countTerms(terms: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const term of terms) counts.set(term, (counts.get(term) ?? 0) + 1);
  return counts;
}
