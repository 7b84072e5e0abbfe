import { ConfigError } from "@memory-r1/spec";
import { type Match, type MatchingRetriever, createMatchingRetriever } from "./retriever.ts";

export interface HybridOptions {
  /** Flattens the difference between ranks; 60 in the source, which found it uncritical. 0 or more. */
  readonly k?: number;
  /** How many matches each retriever gives at least. A match behind them adds nothing. */
  readonly depth?: number;
}

/**
 * Reciprocal rank fusion: an item's score is the sum of 1 / (k + rank) over the retrievers that match it, ranks from 1.
 * Scores of the retrievers are not compared, only their orders; an item that one of them does not find gets nothing
 * from that one. Ties keep the order of the items.
 * Source: Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet ...", SIGIR 2009.
 * @throws ConfigError for a k or depth out of range.
 */
export function createHybridRetriever(
  retrievers: readonly MatchingRetriever[],
  { k = 60, depth = 100 }: HybridOptions = {},
): MatchingRetriever {
  if (!(k >= 0 && Number.isFinite(k))) {
    throw new ConfigError(`hybrid retriever: k is ${k}. Set a number of 0 or more, such as 60.`);
  }
  if (!(Number.isInteger(depth) && depth > 0)) {
    throw new ConfigError(
      `hybrid retriever: depth is ${depth}. Set a whole number above 0, such as 100.`,
    );
  }
  return createMatchingRetriever("hybrid", async (query, items, count) => {
    const rankings = await Promise.all(
      retrievers.map((retriever) => retriever.match(query, items, Math.max(count, depth))),
    );
    return fuseByReciprocalRank(
      rankings.map((ranking) => ranking.map(({ position }) => position)),
      k,
    ).slice(0, count);
  });
}

/** @param rankings positions, best first. Best first, ties by position. */
export function fuseByReciprocalRank(
  rankings: readonly (readonly number[])[],
  k: number,
): readonly Match[] {
  const ranks = new Map<number, number[]>();
  for (const ranking of rankings) {
    for (const [index, position] of ranking.entries()) {
      const known = ranks.get(position);
      if (known === undefined) ranks.set(position, [index + 1]);
      else known.push(index + 1);
    }
  }
  return [...ranks]
    .map(([position, found]) => ({
      position,
      // Summed from the best rank on: the same ranks in whichever lists are a tie to the last bit.
      score: found.toSorted((a, b) => a - b).reduce((sum, rank) => sum + 1 / (k + rank), 0),
    }))
    .toSorted((left, right) => right.score - left.score || left.position - right.position);
}
