import { createClient } from "@libsql/client";
import { createDenseRetriever } from "@memory-r1/core";
import type { EmbeddingModel } from "@memory-r1/spec";
import { exactSearch, MetricKind } from "usearch";
import { type RetrievalVectors, vectorAt } from "./retrieval-vectors.ts";

/** Finds the positions of the best memories for query `number`, best first. */
export type Search = (query: number) => Promise<readonly number[]>;

/** What was built to be searched in. */
export interface BuiltEngine {
  readonly search: Search;
  /** Happens before each search and is not timed. */
  readonly beforeEach?: (query: number) => void;
}

export interface Engine {
  readonly build: (vectors: RetrievalVectors, count: number) => Promise<BuiltEngine>;
}

/** By name; the first defines what the best memories are. */
export const engines = {
  /** A loop: products and sums in float64, a sort. */
  "javascript loop": {
    build: ({ memories, queries, dimensions }, count) => {
      const search: Search = (number) => {
        const query = vectorAt(queries, number, dimensions);
        const scores = new Float64Array(memories.length / dimensions);
        for (let position = 0; position < scores.length; position++) {
          let sum = 0;
          const start = position * dimensions;
          for (let index = 0; index < dimensions; index++) {
            sum += (memories[start + index] ?? 0) * (query[index] ?? 0);
          }
          scores[position] = sum;
        }
        const order = Uint32Array.from(scores.keys()).toSorted(
          (left, right) => (scores[right] ?? 0) - (scores[left] ?? 0) || left - right,
        );
        return Promise.resolve([...order.subarray(0, count)]);
      };
      return Promise.resolve({ search });
    },
  },
  "memory-r1": { build: (vectors, count) => buildOurs(vectors, count, false) },
  /** One memory gets another text before each search. Its vector stays, so that the best memories do. */
  "memory-r1, bank changing": { build: (vectors, count) => buildOurs(vectors, count, true) },
  "usearch exact, 1 thread": { build: (vectors, count) => buildUsearch(vectors, count, 1) },
  "usearch exact, all threads": { build: (vectors, count) => buildUsearch(vectors, count, 0) },
  /** The store's own search, in memory. */
  "libsql vector_distance_cos": { build: buildLibsql },
} satisfies Readonly<Record<string, Engine>>;

export type EngineName = keyof typeof engines;

async function buildOurs(vectors: RetrievalVectors, count: number, isChanging: boolean) {
  const { memories, queries, dimensions } = vectors;
  const embeddingModel: EmbeddingModel = {
    description: "generated vectors",
    embed: (texts) =>
      Promise.resolve(
        texts.map((text) => {
          const [kind, number] = text.split(" ");
          return vectorAt(kind === "query" ? queries : memories, Number(number), dimensions);
        }),
      ),
  };
  const retriever = createDenseRetriever(embeddingModel);
  const items = Array.from({ length: memories.length / dimensions }, (_, position) => ({
    text: `memory ${position}`,
    position,
  }));
  // The first search takes every memory in.
  await retriever.rank("query 0", items, count);
  return {
    search: async (number: number) =>
      (await retriever.rank(`query ${number}`, items, count)).map(({ position }) => position),
    beforeEach: (number: number) => {
      if (!isChanging) return;
      const position = (number * 7919) % items.length;
      items[position] = { text: `memory ${position} changed before ${number}`, position };
    },
  };
}

function buildUsearch(
  { memories, queries, dimensions }: RetrievalVectors,
  count: number,
  threads: number,
) {
  const search: Search = (number) => {
    // A copy: usearch reads a view from the start of its buffer.
    const query = vectorAt(queries, number, dimensions).slice();
    const { keys } = exactSearch(memories, query, dimensions, count, MetricKind.IP, threads);
    return Promise.resolve(Array.from(keys, Number));
  };
  return Promise.resolve({ search });
}

async function buildLibsql(
  { memories, queries, dimensions }: RetrievalVectors,
  count: number,
): Promise<{ readonly search: Search }> {
  const client = createClient({ url: ":memory:" });
  await client.execute(
    `CREATE TABLE memories (position INTEGER PRIMARY KEY, embedding F32_BLOB(${dimensions}))`,
  );
  const blobOf = (vectors: Float32Array, number: number): Uint8Array =>
    new Uint8Array(vectorAt(vectors, number, dimensions).slice().buffer);
  const total = memories.length / dimensions;
  const perBatch = 5000;
  for (let start = 0; start < total; start += perBatch) {
    await client.batch(
      Array.from({ length: Math.min(perBatch, total - start) }, (_, index) => ({
        sql: "INSERT INTO memories VALUES (?, ?)",
        args: [start + index, blobOf(memories, start + index)],
      })),
      "write",
    );
  }
  return {
    search: async (number) => {
      const { rows } = await client.execute({
        sql: "SELECT position FROM memories ORDER BY vector_distance_cos(embedding, ?), position LIMIT ?",
        args: [blobOf(queries, number), count],
      });
      return rows.map((row) => Number(row["position"]));
    },
  };
}
