import { createBm25Retriever } from "@memory-r1/core";
import type { EmbeddingModel, TextGenerator } from "@memory-r1/spec";
import type { SystemOptions } from "../system-options.ts";

/** A generator for systems that have no business with one. */
const noModel: TextGenerator = {
  description: "none",
  generate: () => Promise.reject(new Error("this system asked a model that it was not given")),
};

/** The bag of a text's words, hashed to 64 dimensions: enough for a test to find what shares words. */
const wordEmbedding: EmbeddingModel = {
  description: "hashed words",
  embed: (texts) => Promise.resolve(texts.map(embedWords)),
};

function embedWords(text: string): Float32Array {
  const vector = new Float32Array(64);
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []) {
    let hash = 7;
    for (const char of word) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) % 1_000_003;
    vector[hash % 64] = (vector[hash % 64] ?? 0) + 1;
  }
  const length = Math.hypot(...vector);
  return length === 0 ? vector : vector.map((value) => value / length);
}

/** Options for a test: retrieval by words, no model unless one is given, a token for every word. */
export function systemOptionsFor(given: {
  readonly count?: number;
  readonly generator?: TextGenerator | undefined;
  readonly constrained?: boolean;
  readonly contextTokens?: number | undefined;
  readonly replyTokens?: number;
}): SystemOptions {
  const { count = 8, constrained = false, contextTokens = 2048, replyTokens = 256 } = given;
  return {
    retriever: createBm25Retriever(),
    count,
    generator: given.generator ?? noModel,
    embedding: wordEmbedding,
    countTokens: (text) => text.split(/\s+/u).filter((word) => word !== "").length,
    contextTokens,
    replyTokens,
    constrained,
    seed: 1,
  };
}
