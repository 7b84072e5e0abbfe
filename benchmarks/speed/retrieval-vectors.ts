import { createRandom, deriveSeed } from "@memory-r1/spec";

/** Unit vectors like embeddings: topics, and around each what is about it. */
export interface RetrievalVectors {
  readonly dimensions: number;
  /** One after the other. */
  readonly memories: Float32Array;
  readonly queries: Float32Array;
}

/** Each vector is its topic's plus as much of its own, at length 1; the cosine of two of one topic is about 0.5. */
export function generateVectors(options: {
  readonly memories: number;
  readonly queries: number;
  readonly dimensions: number;
  readonly topics: number;
  readonly seed: number;
}): RetrievalVectors {
  const { dimensions } = options;
  const random = createRandom(deriveSeed(options.seed, "retrieval-vectors"));
  const topics = Float32Array.from({ length: options.topics * dimensions }, () => random() - 0.5);
  const fill = (count: number): Float32Array => {
    const vectors = new Float32Array(count * dimensions);
    for (let start = 0; start < vectors.length; start += dimensions) {
      const topic = Math.floor(random() * options.topics) * dimensions;
      let squares = 0;
      for (let index = 0; index < dimensions; index++) {
        const value = (topics[topic + index] ?? 0) + random() - 0.5;
        vectors[start + index] = value;
        squares += value * value;
      }
      const length = Math.sqrt(squares);
      for (let index = start; index < start + dimensions; index++) {
        vectors[index] = (vectors[index] ?? 0) / length;
      }
    }
    return vectors;
  };
  return { dimensions, memories: fill(options.memories), queries: fill(options.queries) };
}

/** Vector `number` of several, without a copy. */
export function vectorAt(vectors: Float32Array, number: number, dimensions: number): Float32Array {
  return vectors.subarray(number * dimensions, (number + 1) * dimensions);
}
