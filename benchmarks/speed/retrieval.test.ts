import { describe, expect, it } from "vitest";
import { type BuiltEngine, type EngineName, engines } from "./retrieval-engines.ts";
import { computePercentile, computeRecall } from "./retrieval-summary.ts";
import { generateVectors, vectorAt } from "./retrieval-vectors.ts";

describe("summary of searches", () => {
  it("takes percentiles by nearest rank", () => {
    const values = Array.from({ length: 200 }, (_, index) => 200 - index);
    expect(computePercentile(values, 0.5)).toBe(100);
    expect(computePercentile(values, 0.99)).toBe(198);
    expect(computePercentile(values, 1)).toBe(200);
    expect(computePercentile([3], 0.01)).toBe(3);
    expect(() => computePercentile([], 0.5)).toThrow(RangeError);
  });

  it("counts what was found of what was expected", () => {
    expect(computeRecall([[1, 2], [9]], [[2, 3], [9]])).toBe(2 / 3);
    expect(computeRecall([], [[1]])).toBe(0);
    expect(() => computeRecall([], [])).toThrow(RangeError);
  });
});

describe("engines", () => {
  const shape = { memories: 700, queries: 4, dimensions: 24, topics: 9 };
  const vectors = generateVectors({ ...shape, seed: 3 });

  it("get unit vectors, the same for the same seed", () => {
    const vector = vectorAt(vectors.memories, 699, 24);
    expect(vector.reduce((sum, value) => sum + value * value, 0)).toBeCloseTo(1, 5);
    expect(generateVectors({ ...shape, seed: 3 })).toEqual(vectors);
    expect(generateVectors({ ...shape, seed: 4 })).not.toEqual(vectors);
  });

  // usearch has no binary for every platform; the benchmark itself tells.
  const local: readonly EngineName[] = [
    "memory-r1",
    "memory-r1, bank changing",
    "libsql vector_distance_cos",
  ];
  it.each(local)("%s finds what the loop finds", async (name) => {
    const loop = await engines["javascript loop"].build(vectors, 10);
    const built: BuiltEngine = await engines[name].build(vectors, 10);
    for (let query = 0; query < shape.queries; query++) {
      built.beforeEach?.(query);
      expect(await built.search(query)).toEqual(await loop.search(query));
    }
  });
});
