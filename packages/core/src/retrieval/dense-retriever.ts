import { type EmbeddingModel, ModelCallError } from "@memory-r1/spec";
import { type Retriever, topByScore } from "./retriever.ts";

/**
 * Ranks by cosine similarity of embeddings. A text is embedded once for the retriever's life, so banks that share
 * entries (forks, rollouts of one group) cost no embedding again; the texts of one call are embedded as one batch.
 */
export function createDenseRetriever(embeddingModel: EmbeddingModel): Retriever {
  const embed = cachedEmbedding(embeddingModel);
  return {
    name: "dense",
    rank: async (query, items, count) => {
      if (items.length === 0 || count <= 0) return [];
      const [queryVector, ...vectors] = await embed([query, ...items.map((item) => item.text)]);
      return topByScore(items, (_, position) => dotProduct(queryVector, vectors[position]), count);
    },
  };
}

/** Keeps promises, not vectors: calls that overlap in time share one embedding, too. */
function cachedEmbedding(
  model: EmbeddingModel,
): (texts: readonly string[]) => Promise<readonly Float32Array[]> {
  const known = new Map<string, Promise<Float32Array>>();
  return (texts) => {
    const missing = [...new Set(texts)].filter((text) => !known.has(text));
    if (missing.length > 0) {
      const batch = model.embed(missing);
      missing.forEach((text, index) => {
        const vector = batch.then((vectors) => requireVector(vectors[index], model.description));
        // A failure is not remembered, so that the next call asks again; this call still sees it.
        vector.catch(() => known.delete(text));
        known.set(text, vector);
      });
    }
    return Promise.all(texts.map((text) => requireVector(known.get(text), model.description)));
  };
}

function requireVector<Vector>(vector: Vector | undefined, model: string): Vector {
  if (vector !== undefined) return vector;
  throw new ModelCallError(
    `${model} returned fewer vectors than texts. Check that the server is an embedding server.`,
    { retryable: false },
  );
}

/** The vectors have unit length (EmbeddingModel), so this is their cosine. */
function dotProduct(left: Float32Array | undefined, right: Float32Array | undefined): number {
  if (left === undefined || right === undefined) return Number.NEGATIVE_INFINITY;
  let sum = 0;
  for (let index = 0; index < left.length; index++) {
    sum += (left[index] ?? 0) * (right[index] ?? 0);
  }
  return sum;
}
