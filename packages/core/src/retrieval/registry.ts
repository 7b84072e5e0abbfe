import { ConfigError, type EmbeddingModel } from "@memory-r1/spec";
import { createBm25Retriever } from "./bm25-retriever.ts";
import { createDenseRetriever } from "./dense-retriever.ts";
import type { ReadDateTime } from "./entry-dates.ts";
import { createHybridRetriever } from "./hybrid-retriever.ts";
import { createRecencyRetriever } from "./recency-retriever.ts";
import type { MatchingRetriever } from "./retriever.ts";

/** What a retriever may need; each takes what it uses. */
export interface RetrieverResources {
  readonly embeddingModel?: EmbeddingModel;
  /** Reads the dates of memories, for those that weigh them; without it, ISO dates are read. */
  readonly readDateTime?: ReadDateTime;
}

/** Every retriever by name. To add one: a file beside this one, and a line here. */
export const retrievers = {
  dense: (resources: RetrieverResources) => dense("dense", resources),
  bm25: () => createBm25Retriever(),
  hybrid: (resources: RetrieverResources) =>
    createHybridRetriever([dense("hybrid", resources), createBm25Retriever()]),
  "dense-recency": (resources: RetrieverResources) =>
    createRecencyRetriever(dense("dense-recency", resources), resources),
} satisfies Readonly<Record<string, (resources: RetrieverResources) => MatchingRetriever>>;

export type RetrieverName = keyof typeof retrievers;

/** @throws ConfigError where the retriever lacks what it needs. */
export function createRetriever(
  name: RetrieverName,
  resources: RetrieverResources = {},
): MatchingRetriever {
  return retrievers[name](resources);
}

function dense(name: string, { embeddingModel }: RetrieverResources): MatchingRetriever {
  if (embeddingModel !== undefined) return createDenseRetriever(embeddingModel);
  throw new ConfigError(
    `The retriever "${name}" needs an embedding model. Configure one, or choose the retriever "bm25".`,
  );
}
