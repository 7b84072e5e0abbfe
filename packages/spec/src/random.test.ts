import { describe, expect, it } from "vitest";
import { createRandom, deriveSeed, shuffled } from "./random.ts";

describe("createRandom", () => {
  it("is MT19937: the reference implementation's first numbers for its default seed 5489", () => {
    const random = createRandom(5489);
    expect([random(), random(), random()]).toEqual(
      [3499211612, 581869302, 3890346734].map((value) => value / 2 ** 32),
    );
  });

  it("gives uniform first numbers over derived and over small seeds", () => {
    for (const seedOf of [(index: number) => deriveSeed("task", index), (index: number) => index]) {
      const firsts = Array.from({ length: 4000 }, (_, index) => createRandom(seedOf(index))());
      // 1000 expected in each quarter, standard deviation 27.
      for (const quarter of [0, 1, 2, 3]) {
        const count = firsts.filter((value) => Math.floor(value * 4) === quarter).length;
        expect(Math.abs(count - 1000)).toBeLessThan(110);
      }
    }
  });
});

describe("deriveSeed", () => {
  it("depends on every part and on where one part ends", () => {
    const seeds = [deriveSeed(1, "a"), deriveSeed(1, "b"), deriveSeed("1", "a"), deriveSeed("1a")];
    expect(new Set(seeds).size).toBe(4);
    expect(seeds.every((seed) => Number.isInteger(seed) && seed >= 0 && seed < 2 ** 31)).toBe(true);
  });
});

describe("shuffled", () => {
  it("keeps every item, leaves its input alone, and is fair", () => {
    const items = ["a", "b", "c"];
    const orders = new Map<string, number>();
    for (let seed = 0; seed < 6000; seed++) {
      const order = shuffled(items, createRandom(seed)).join("");
      orders.set(order, (orders.get(order) ?? 0) + 1);
    }
    expect(items).toEqual(["a", "b", "c"]);
    // Six orders, 1000 expected of each, standard deviation 29.
    expect([...orders.keys()].sort()).toEqual(["abc", "acb", "bac", "bca", "cab", "cba"]);
    for (const count of orders.values()) expect(Math.abs(count - 1000)).toBeLessThan(120);
  });

  it("has nothing to do for none or one", () => {
    expect(shuffled([], createRandom(1))).toEqual([]);
    expect(shuffled(["a"], createRandom(1))).toEqual(["a"]);
  });
});
