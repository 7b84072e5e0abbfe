import { type EmbeddingModel, ModelCallError } from "@memory-r1/spec";
import { type MatchingRetriever, createMatchingRetriever } from "./retriever.ts";
import { createTextNumbers } from "./text-numbers.ts";
import { createVectorArena } from "./vector-arena.ts";

/**
 * Ranks by cosine similarity of embeddings, exactly: dot products in float64 over every item, or over every item that
 * can be among the best. A text is embedded once for the retriever's life, so banks that share entries (forks, rollouts
 * of one group) cost no embedding again; the texts of one call are embedded as one batch.
 */
export function createDenseRetriever(embeddingModel: EmbeddingModel): MatchingRetriever {
  const texts = createTextNumbers();
  const arena = createVectorArena();
  /** Numbers without a vector yet: mostly none, so that a call need not ask about each of its items. */
  const missing = new Set<number>();
  const pending = new Map<number, Promise<void>>();
  let seen = 0;

  const keep = (number: number, vector: Float32Array): void => {
    try {
      arena.set(number, vector);
      missing.delete(number);
    } catch (cause) {
      if (!(cause instanceof RangeError)) throw cause;
      throw new ModelCallError(
        `${embeddingModel.description} returned ${cause.message}. Check that it is an embedding model, and the same as before.`,
        { retryable: false, cause },
      );
    }
  };

  const embed = async (numbers: readonly number[]): Promise<void> => {
    try {
      const vectors = await embeddingModel.embed(numbers.map((number) => texts.textOf(number)));
      for (const [index, number] of numbers.entries()) {
        keep(number, requireVector(vectors[index], embeddingModel.description));
      }
    } finally {
      // A failure is not remembered, so that the next call asks again; those who wait still see it.
      for (const number of numbers) pending.delete(number);
    }
  };

  /** Calls that overlap in time share one embedding, too. */
  const embedMissing = async (queryNumber: number, numbers: Int32Array): Promise<void> => {
    // What has no number before a call is of that call: the items need not be asked, as a rule.
    const wanted = new Set<number>();
    for (; seen < texts.size(); seen++) {
      missing.add(seen);
      wanted.add(seen);
    }
    if (missing.size > wanted.size) {
      if (missing.has(queryNumber)) wanted.add(queryNumber);
      for (const number of numbers) if (missing.has(number)) wanted.add(number);
    }
    const batch = [...wanted].filter((number) => !pending.has(number));
    if (batch.length > 0) {
      const embedding = embed(batch);
      for (const number of batch) pending.set(number, embedding);
    }
    await Promise.all(new Set([...wanted].flatMap((number) => pending.get(number) ?? [])));
  };

  return createMatchingRetriever("dense", async (query, items, count) => {
    const queryNumber = texts.numberOf(query);
    const numbers = texts.numbersOf(items);
    await embedMissing(queryNumber, numbers);
    return arena.search(queryNumber, numbers, count);
  });
}

function requireVector(vector: Float32Array | undefined, model: string): Float32Array {
  if (vector !== undefined) return vector;
  throw new ModelCallError(
    `${model} returned fewer vectors than texts. Check that the server is an embedding server.`,
    { retryable: false },
  );
}
