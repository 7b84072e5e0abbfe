import { createRandom, type Random } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createQuantisedScan, type QuantisedScan } from "./quantised-scan.ts";
import { createVectorArena } from "./vector-arena.ts";

/** The definition: every item in float64, sorted; ties by position. Number 0 is the query. */
function bruteForce(vectors: readonly Float32Array[], count: number): readonly number[] {
  const [query = new Float32Array()] = vectors;
  return vectors
    .slice(1)
    .map((vector, position) => ({
      position,
      score: vector.reduce((sum, value, index) => sum + value * (query[index] ?? 0), 0),
    }))
    .toSorted((left, right) => right.score - left.score || left.position - right.position)
    .slice(0, count)
    .map(({ position }) => position);
}

function search(
  vectors: readonly Float32Array[],
  count: number,
  createScan = createQuantisedScan,
): readonly number[] {
  const arena = createVectorArena(createScan);
  vectors.forEach((vector, number) => arena.set(number, vector));
  const numbers = Int32Array.from({ length: vectors.length - 1 }, (_, index) => index + 1);
  return arena.search(0, numbers, count).map(({ position }) => position);
}

const items = 1500;

function vectorsOf(make: (random: Random, number: number) => readonly number[]): Float32Array[] {
  const random = createRandom(7);
  return Array.from({ length: items + 1 }, (_, number) => Float32Array.from(make(random, number)));
}

function uniform(random: Random, dimensions: number): readonly number[] {
  return Array.from({ length: dimensions }, () => random() * 2 - 1);
}

const base = uniform(createRandom(1), 48);
const sets: Readonly<Record<string, readonly Float32Array[]>> = {
  "1 dimension": vectorsOf((random) => uniform(random, 1)),
  "17 dimensions": vectorsOf((random) => uniform(random, 17)),
  "384 dimensions": vectorsOf((random) => uniform(random, 384)),
  // Differences of 1e-7 are far below a step of 1 / 127, and at the limit of float32 itself.
  "near-ties": vectorsOf((random) => base.map((value) => value + (random() - 0.5) * 1e-7)),
  "near-ties across a step of the integers": vectorsOf((random, number) =>
    base.map((value, index) => (index === number % 48 ? value + 1 / 254 + random() * 1e-6 : value)),
  ),
  "exact ties": vectorsOf((_, number) => base.map((value) => value * (1 + (number % 3)))),
  "all equal": vectorsOf(() => base),
  zeros: vectorsOf((random, number) =>
    number % 2 === 0 ? uniform(random, 9) : Array.from({ length: 9 }, () => 0),
  ),
  "one value that hides the others": vectorsOf((random) => [1000, ...uniform(random, 20)]),
  "very small": vectorsOf((random) => uniform(random, 20).map((value) => value * 1e-44)),
  "very large": vectorsOf((random) => uniform(random, 20).map((value) => value * 1e38)),
  "of very different lengths": vectorsOf((random) => {
    const length = 10 ** (random() * 60 - 30);
    return uniform(random, 20).map((value) => value * length);
  }),
};

describe.each(Object.keys(sets))("exact search: %s", (name) => {
  const vectors = sets[name] ?? [];

  it.each([1, 10, 60, items - 1, items, items + 5])("finds the best %i", (count) => {
    const expected = bruteForce(vectors, count);
    expect(search(vectors, count)).toEqual(expected);
    expect(search(vectors, count, () => undefined)).toEqual(expected);
  });
});

describe("vector arena", () => {
  const vectors = sets["384 dimensions"] ?? [];

  it("does the first pass, and only for many items", () => {
    let rows = 0;
    let scanned = 0;
    const counting = (dimensions: number): QuantisedScan | undefined => {
      const scan = createQuantisedScan(dimensions);
      return scan === undefined
        ? undefined
        : {
            ...scan,
            setRow: (...row) => {
              rows++;
              scan.setRow(...row);
            },
            sums: (numbers) => {
              scanned += numbers.length;
              return scan.sums(numbers);
            },
          };
    };
    search(vectors.slice(0, 100), 3, counting);
    expect([rows, scanned]).toEqual([0, 0]);
    search(vectors, 3, counting);
    expect([rows, scanned]).toEqual([items + 1, items]);
  });

  it("takes vectors that come and change after a search", () => {
    const arena = createVectorArena();
    vectors.forEach((vector, number) => arena.set(number, vector));
    const numbers = Int32Array.from({ length: items }, (_, index) => index + 1);
    const best = (): number | undefined => arena.search(0, numbers, 1)[0]?.position;
    const [query = new Float32Array()] = vectors;
    expect(best()).toBe(bruteForce(vectors, 1)[0]);
    arena.set(1200, query);
    expect(best()).toBe(1199);
    arena.set(
      5000,
      query.map((value) => value * 2),
    );
    numbers[30] = 5000;
    expect(best()).toBe(30);
  });

  it("goes on in float64 where memory for the first pass runs out", () => {
    const full = (dimensions: number): QuantisedScan | undefined => {
      const scan = createQuantisedScan(dimensions);
      return scan === undefined
        ? undefined
        : {
            ...scan,
            setRow: (number, values) => {
              if (number > 700) throw new RangeError("no more memory");
              scan.setRow(number, values);
            },
          };
    };
    expect(search(vectors, 10, full)).toEqual(bruteForce(vectors, 10));
  });

  it("refuses another dimension and what is no number, and keeps what it has", () => {
    const arena = createVectorArena();
    arena.set(0, Float32Array.of(1, 0));
    expect(() => arena.set(0, Float32Array.of(1))).toThrow("a vector of 1 dimensions");
    expect(() => arena.set(0, Float32Array.of(1, Number.NaN))).toThrow("not a finite number");
    expect(() => arena.set(0, Float32Array.of(Infinity, 1))).toThrow("not a finite number");
    expect(() => createVectorArena().set(0, new Float32Array())).toThrow("0 dimensions");
    expect(arena.search(0, Int32Array.of(0), 1)).toEqual([{ position: 0, score: 1 }]);
  });
});
