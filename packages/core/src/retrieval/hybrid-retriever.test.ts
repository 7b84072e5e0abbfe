import { ConfigError } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createBm25Retriever } from "./bm25-retriever.ts";
import { createHybridRetriever, fuseByReciprocalRank } from "./hybrid-retriever.ts";
import { createMatchingRetriever } from "./retriever.ts";

const item = (text: string): { readonly text: string } => ({ text });

/** Finds these positions, best first, as far as it is asked. */
function finding(...positions: readonly number[]) {
  return createMatchingRetriever("fixed", (_, __, count) =>
    Promise.resolve(positions.slice(0, count).map((position) => ({ position, score: -position }))),
  );
}

describe("reciprocal rank fusion", () => {
  // By hand, k = 60: 1/61 + 1/62 = 0.0325225, 1/63 + 1/61 = 0.0322665, 1/62 = 0.0161290.
  it("equals the values computed by hand, also for an item of one list only", () => {
    const fused = fuseByReciprocalRank(
      [
        [5, 1, 2],
        [2, 5],
      ],
      60,
    );
    expect(fused.map(({ position }) => position)).toEqual([5, 2, 1]);
    expect(fused[0]?.score).toBeCloseTo(0.0325225, 7);
    expect(fused[1]?.score).toBeCloseTo(0.0322665, 7);
    expect(fused[2]?.score).toBeCloseTo(0.016129, 7);
  });

  // k = 0: position 1 has 1/1, position 2 has 1/2 + 1/2: a tie; k = 1: 1/2 and 1/3 + 1/3.
  it("takes another k, which decides between one first place and two second ones", () => {
    const rankings = [
      [1, 2],
      [3, 2],
    ];
    expect(fuseByReciprocalRank(rankings, 0).map(({ score }) => score)).toEqual([1, 1, 1]);
    expect(fuseByReciprocalRank(rankings, 1)[0]).toEqual({ position: 2, score: 1 / 3 + 1 / 3 });
  });

  it("keeps the order of the items in ties, whichever lists the ranks come from", () => {
    const ties = fuseByReciprocalRank(
      [
        [4, 3, 2],
        [2, 4, 3],
        [3, 2, 4],
      ],
      60,
    );
    expect(ties.map(({ position }) => position)).toEqual([2, 3, 4]);
    expect(new Set(ties.map(({ score }) => score)).size).toBe(1);
    expect(fuseByReciprocalRank([[], []], 60)).toEqual([]);
  });
});

describe("hybrid retriever", () => {
  it("fuses what its retrievers find, and puts what none finds last", async () => {
    const items = ["a", "b", "c", "d"].map(item);
    const hybrid = createHybridRetriever([finding(3, 1), finding(1)]);
    expect((await hybrid.rank("q", items, 3)).map(({ text }) => text)).toEqual(["b", "d", "a"]);
    expect(await hybrid.match("q", items, 9)).toHaveLength(2);
  });

  it("does not count BM25's order of items without a common word", async () => {
    // By BM25 with all items in its list, "b" would be third there and beat "c": 1/61 + 1/63 over 1/62.
    const items = ["a", "b", "c tea"].map(item);
    const hybrid = createHybridRetriever([finding(2, 1), createBm25Retriever()]);
    expect(await hybrid.match("tea", items, 9)).toEqual([
      { position: 2, score: 1 / 61 + 1 / 61 },
      { position: 1, score: 1 / 62 },
    ]);
  });

  it("looks as deep as it is told, and never less deep than the count", async () => {
    const items = ["a", "b", "c", "d"].map(item);
    const hybrid = createHybridRetriever([finding(3, 0, 1), finding(2, 1, 0)], { depth: 1 });
    // Depth 1: 3 and 2 tie. Depth 3: 0 has 1/62 + 1/63, and so has 1.
    expect((await hybrid.match("q", items, 1)).map(({ position }) => position)).toEqual([2]);
    expect((await hybrid.match("q", items, 3)).map(({ position }) => position)).toEqual([0, 1, 2]);
  });

  it.each([{ k: -1 }, { k: Number.NaN }, { depth: 0 }, { depth: 1.5 }])("refuses %o", (options) => {
    expect(() => createHybridRetriever([], options)).toThrow(ConfigError);
  });
});
