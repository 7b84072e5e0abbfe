import { ConfigError, type EmbeddingModel } from "@memory-r1/spec";
import { createBm25Retriever } from "./bm25-retriever.ts";
import { createDenseRetriever } from "./dense-retriever.ts";
import type { Retriever } from "./retriever.ts";

/** What a retriever may need; each takes what it uses. */
export interface RetrieverResources {
  readonly embeddingModel?: EmbeddingModel;
}

/** Every retriever by name. To add one: a file beside this one, and a line here. */
export const retrievers = {
  dense: ({ embeddingModel }: RetrieverResources): Retriever => {
    if (embeddingModel !== undefined) return createDenseRetriever(embeddingModel);
    throw new ConfigError(
      'The retriever "dense" needs an embedding model. Configure one, or choose the retriever "bm25".',
    );
  },
  bm25: (): Retriever => createBm25Retriever(),
};

export type RetrieverName = keyof typeof retrievers;

/** @throws ConfigError where the retriever lacks what it needs. */
export function createRetriever(
  name: RetrieverName,
  resources: RetrieverResources = {},
): Retriever {
  return retrievers[name](resources);
}
