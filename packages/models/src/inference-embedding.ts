import { InferenceClient } from "@huggingface/inference";
import { ModelCallError, type EmbeddingModel } from "@memory-r1/spec";
import pLimit from "p-limit";
import { z } from "zod";
import { createCaller, type CallStatistics, type InferenceTarget } from "./call.ts";

export interface InferenceEmbeddingOptions extends InferenceTarget {
  /** The length of a vector; default: that of the first vector that comes. */
  readonly dimension?: number;
  /** Texts of one call; default 32, the limit of text-embeddings-inference as it is installed. */
  readonly batchSize?: number;
  /** For manifests and caches; default: the model and where it runs. */
  readonly description?: string;
}

/** An EmbeddingModel that counts its calls. */
export interface InferenceEmbedding extends EmbeddingModel {
  statistics(): CallStatistics;
}

const vectorsSchema = z.array(z.array(z.number()));

/** Scales to unit length. A zero vector has no direction. */
function normalise(vector: readonly number[]): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, value) => sum + value * value, 0));
  if (!(length > 0) || !Number.isFinite(length))
    throw new ModelCallError(
      `an embedding has length ${length}: the model does not fit its tokenizer, or diverged`,
      { retryable: false },
    );
  return Float32Array.from(vector, (value) => value / length);
}

/**
 * An EmbeddingModel over `feature-extraction`: Hugging Face Inference, text-embeddings-inference, the embedded engine
 * (`endpointUrl` ending in `/embed`). Each text is asked for once in the life of the object: vectors are kept in
 * memory (1.5 kB each at 384 dimensions) and must not be written to.
 * Errors: ModelCallError after the retries, also for vectors of another number, shape or dimension.
 */
export function createInferenceEmbedding(options: InferenceEmbeddingOptions): InferenceEmbedding {
  const client = new InferenceClient(options.accessToken);
  const caller = createCaller(options);
  const limit = pLimit(options.concurrency ?? 2);
  const batchSize = options.batchSize ?? 32;
  const where = options.endpointUrl ?? options.provider ?? "auto";
  const known = new Map<string, Promise<Float32Array>>();
  let { dimension } = options;

  async function embedBatch(texts: readonly string[]): Promise<readonly Float32Array[]> {
    const answer: unknown = await caller.call(`embedding with ${options.model}`, (tryOptions) =>
      client.featureExtraction(
        {
          model: options.model,
          ...(options.endpointUrl === undefined ? {} : { endpointUrl: options.endpointUrl }),
          ...(options.provider === undefined ? {} : { provider: options.provider }),
          inputs: [...texts],
        },
        tryOptions,
      ),
    );
    const parsed = vectorsSchema.safeParse(answer);
    if (!parsed.success)
      throw new ModelCallError(
        `${options.model} does not answer with one vector for each text: use a sentence encoder with pooling`,
        { retryable: false, cause: parsed.error },
      );
    const vectors = parsed.data;
    if (vectors.length !== texts.length)
      throw new ModelCallError(
        `${options.model} answered ${texts.length} texts with ${vectors.length} vectors`,
        { retryable: false },
      );
    for (const vector of vectors) {
      dimension ??= vector.length;
      if (vector.length !== dimension)
        throw new ModelCallError(
          `${options.model} gave a vector of ${vector.length} dimensions, expected ${dimension}: ` +
            "is this the model that the configuration names?",
          { retryable: false },
        );
    }
    return vectors.map(normalise);
  }

  function startBatch(texts: readonly string[]): void {
    const batch = limit(() => embedBatch(texts));
    texts.forEach((text, position) => {
      const vector = batch.then((vectors) => {
        const found = vectors[position];
        if (found === undefined)
          throw new ModelCallError(`no vector for text ${position}`, { retryable: false });
        return found;
      });
      known.set(text, vector);
      // A failed text is asked for again by the next call; who awaits this one gets the error.
      vector.catch(() => known.delete(text));
    });
  }

  return {
    description: options.description ?? `${options.model} (${where})`,
    statistics: () => caller.statistics(),
    embed(texts) {
      const missing = [...new Set(texts)].filter((text) => !known.has(text));
      for (let start = 0; start < missing.length; start += batchSize)
        startBatch(missing.slice(start, start + batchSize));
      return Promise.all(
        texts.map((text) => {
          const vector = known.get(text);
          if (vector === undefined) throw new TypeError("a text was just asked for and is unknown");
          return vector;
        }),
      );
    },
  };
}
