import { type MatchingRetriever, createMatchingRetriever, type Retrievable } from "./retriever.ts";
import { createTextNumbers } from "./text-numbers.ts";
import { createTopList } from "./top-list.ts";

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
 *
 * Not a library, because none in wide use computes this: MiniSearch 7.2.0 takes the number of distinct words for the length
 * and multiplies by the number of words matched, Orama 3.1.18 takes tf / length for tf, wink-bm25-text-search 3.1.2
 * rounds its weights and refuses fewer than three texts.
 */
export function createBm25Retriever(options: Bm25Options = {}): MatchingRetriever {
  const index = createBm25Index(options);
  return createMatchingRetriever("bm25", (query, items, count) => {
    const best = createTopList(count);
    for (const [position, score] of index.scores(query, items).entries()) {
      if (score > 0) best.offer(position, score);
    }
    return Promise.resolve(best.matches());
  });
}

/** One score per text, in order; 0 where no term of the query occurs. */
export function computeBm25Scores(
  query: string,
  texts: readonly string[],
  options: Bm25Options = {},
): readonly number[] {
  const items = texts.map((text): Retrievable => ({ text }));
  return [...createBm25Index(options).scores(query, items)];
}

/** The texts that a term occurs in, and how often in each. */
interface Postings {
  readonly numbers: number[];
  readonly counts: number[];
}

/** What BM25 must know of the items of a call. */
interface Statistics {
  /** How many of the items have each text. */
  readonly occurrences: Int32Array;
  readonly meanLength: number;
}

/** Splits a text once for its life; a call costs the texts that hold a word of the query, and a pass over numbers. */
function createBm25Index({ k1 = 1.2, b = 0.75 }: Bm25Options): {
  readonly scores: (query: string, items: readonly Retrievable[]) => Float64Array;
} {
  const texts = createTextNumbers();
  const lengths: number[] = [];
  const postings = new Map<string, Postings>();
  const statistics = new WeakMap<Int32Array, Statistics>();

  const readNewTexts = (): void => {
    for (let number = lengths.length; number < texts.size(); number++) {
      const terms = splitTerms(texts.textOf(number));
      lengths.push(terms.length);
      for (const [term, count] of countTerms(terms)) {
        const list = postings.get(term) ?? { numbers: [], counts: [] };
        postings.set(term, list);
        list.numbers.push(number);
        list.counts.push(count);
      }
    }
  };

  const statisticsOf = (numbers: Int32Array): Statistics => {
    const known = statistics.get(numbers);
    if (known !== undefined) return known;
    const occurrences = new Int32Array(texts.size());
    let total = 0;
    for (const number of numbers) {
      occurrences[number] = (occurrences[number] ?? 0) + 1;
      total += lengths[number] ?? 0;
    }
    const found = { occurrences, meanLength: total / numbers.length };
    statistics.set(numbers, found);
    return found;
  };

  return {
    scores: (query, items) => {
      const numbers = texts.numbersOf(items);
      readNewTexts();
      const { occurrences, meanLength } = statisticsOf(numbers);
      const scoreOfText = new Float64Array(texts.size());
      for (const term of new Set(splitTerms(query))) {
        const list = postings.get(term);
        if (list === undefined) continue;
        let containing = 0;
        for (const number of list.numbers) containing += occurrences[number] ?? 0;
        const idf = Math.log(1 + (items.length - containing + 0.5) / (containing + 0.5));
        for (const [index, number] of list.numbers.entries()) {
          const count = list.counts[index] ?? 0;
          const discount = 1 - b + (b * (lengths[number] ?? 0)) / meanLength;
          scoreOfText[number] =
            (scoreOfText[number] ?? 0) + (idf * count) / (count + k1 * discount);
        }
      }
      return Float64Array.from(numbers, (number) => scoreOfText[number] ?? 0);
    },
  };
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
