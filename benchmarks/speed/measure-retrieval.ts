/** The worker of run-retrieval.ts: one engine in a process of its own, measured, as one JSON line. */
import { ConfigError, parseJson } from "@memory-r1/spec";
import { z } from "zod";
import { type BuiltEngine, engines } from "./retrieval-engines.ts";
import { generateVectors } from "./retrieval-vectors.ts";

const warmUpQueries = 5;

const {
  engine: name,
  count,
  ...shape
} = parseJson(
  process.argv[2] ?? "",
  z.strictObject({
    engine: z.string(),
    count: z.int().positive(),
    memories: z.int().positive(),
    queries: z.int().positive(),
    dimensions: z.int().positive(),
    topics: z.int().positive(),
    seed: z.int(),
  }),
  "the argument of measure-retrieval",
);
const engine = Object.entries(engines).find(([key]) => key === name)?.[1];
if (engine === undefined) throw new ConfigError(`there is no engine "${name}"`);

const vectors = generateVectors({ ...shape, queries: shape.queries + warmUpQueries });
const startMs = performance.now();
const { search, beforeEach }: BuiltEngine = await engine.build(vectors, count);
const buildSeconds = (performance.now() - startMs) / 1000;
for (let query = 0; query < warmUpQueries; query++) await search(query);

const milliseconds: number[] = [];
const found: (readonly number[])[] = [];
for (let query = warmUpQueries; query < shape.queries + warmUpQueries; query++) {
  beforeEach?.(query);
  const queryStartMs = performance.now();
  found.push(await search(query));
  milliseconds.push(performance.now() - queryStartMs);
}
console.log(
  JSON.stringify({
    buildSeconds,
    milliseconds,
    found,
    // Kibibytes, on Linux and macOS alike.
    peakMemoryMib: process.resourceUsage().maxRSS / 1024,
  }),
);
