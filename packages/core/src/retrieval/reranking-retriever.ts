import { ConfigError, ModelCallError, type Reranker } from "@memory-r1/spec";
import type { Retriever } from "./retriever.ts";

export interface RerankingOptions {
  /** How many items the retriever gives the reranker, at least; those beyond are never shown. 1 or more. */
  readonly candidates: number;
}

/**
 * Another retriever's best items in the order in which a cross-encoder has them, which reads query and text together. Ties
 * keep the retriever's order. One call of the reranker for each query, none where there is no item.
 * @throws ConfigError for `candidates` below 1. `rank` throws ModelCallError where the reranker cannot be reached.
 */
export function createRerankingRetriever(
  retriever: Retriever,
  reranker: Reranker,
  { candidates }: RerankingOptions,
): Retriever {
  if (!Number.isInteger(candidates) || candidates < 1)
    throw new ConfigError(
      `reranking retriever: candidates is ${candidates}. Give how many items the reranker is to order, 1 or more.`,
    );
  return {
    name: `${retriever.name}-reranked`,
    rank: async (query, items, count) => {
      if (count < 1) return [];
      const found = await retriever.rank(query, items, Math.max(count, candidates));
      if (found.length === 0) return [];
      const scores = await reranker.score(
        query,
        found.map(({ text }) => text),
      );
      if (scores.length !== found.length)
        throw new ModelCallError(
          `${reranker.description} gave ${scores.length} scores for ${found.length} texts. Check that the server is a reranker.`,
          { retryable: false },
        );
      return found
        .map((item, position) => ({ item, score: scores[position] ?? Number.NEGATIVE_INFINITY }))
        .toSorted((one, other) => other.score - one.score)
        .slice(0, count)
        .map(({ item }) => item);
    },
  };
}
