import { ConfigError, ModelCallError, type Reranker } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createBm25Retriever } from "./bm25-retriever.ts";
import { createRerankingRetriever } from "./reranking-retriever.ts";

/** Scores a text by its number of exclamation marks, and notes what it was asked. */
function createLoudness(): Reranker & { readonly asked: [string, readonly string[]][] } {
  const asked: [string, readonly string[]][] = [];
  return {
    description: "loudness",
    asked,
    score: (query, texts) => {
      asked.push([query, texts]);
      return Promise.resolve(texts.map((text) => text.split("!").length - 1));
    },
  };
}

// By BM25 for "dog": all three dogs alike but for their length, then the cat, which has no word of it.
const items = ["cat!!!!!", "dog", "dog!", "dog !!", "bird!"].map((text, id) => ({ id, text }));
const textsOf = (ranked: readonly { readonly text: string }[]) => ranked.map(({ text }) => text);

describe("createRerankingRetriever", () => {
  it("orders what the retriever found, and never looks beyond it", async () => {
    const loudness = createLoudness();
    const three = createRerankingRetriever(createBm25Retriever(), loudness, { candidates: 3 });
    expect(three.name).toBe("bm25-reranked");
    const ranked = await three.rank("dog", items, 2);
    expect(textsOf(ranked)).toEqual(["dog !!", "dog!"]);
    expect(ranked[0]).toBe(items[3]);
    expect(loudness.asked).toEqual([["dog", ["dog", "dog!", "dog !!"]]]);
    // With all of them for candidates the loudest wins, whatever it is about.
    const all = createRerankingRetriever(createBm25Retriever(), loudness, { candidates: 99 });
    expect(textsOf(await all.rank("dog", items, 2))).toEqual(["cat!!!!!", "dog !!"]);
  });

  it("asks for as many candidates as are to be shown", async () => {
    const loudness = createLoudness();
    const one = createRerankingRetriever(createBm25Retriever(), loudness, { candidates: 1 });
    expect(textsOf(await one.rank("dog", items, 3))).toEqual(["dog !!", "dog!", "dog"]);
    expect(textsOf(await one.rank("dog", items, 1))).toEqual(["dog"]);
  });

  it("keeps the retriever's order of ties", async () => {
    const retriever = createRerankingRetriever(
      { name: "backwards", rank: (_, all) => Promise.resolve(all.toReversed()) },
      {
        description: "dull",
        score: (_, texts) => Promise.resolve(texts.map((text) => Number(text === "日本語 😀"))),
      },
      { candidates: 9 },
    );
    const texts = ["a", "日本語 😀", "b", "", "日本語 😀"].map((text, id) => ({ id, text }));
    expect((await retriever.rank("q", texts, 9)).map(({ id }) => id)).toEqual([4, 1, 3, 2, 0]);
  });

  it("asks nothing for nothing", async () => {
    const loudness = createLoudness();
    const retriever = createRerankingRetriever(createBm25Retriever(), loudness, { candidates: 3 });
    await expect(retriever.rank("dog", [], 2)).resolves.toEqual([]);
    await expect(retriever.rank("dog", items, 0)).resolves.toEqual([]);
    expect(loudness.asked).toEqual([]);
  });

  it("refuses what cannot be", async () => {
    const loudness = createLoudness();
    for (const candidates of [0, -1, 1.5, Number.NaN])
      expect(() =>
        createRerankingRetriever(createBm25Retriever(), loudness, { candidates }),
      ).toThrow(ConfigError);
    const short = createRerankingRetriever(
      createBm25Retriever(),
      { description: "short", score: () => Promise.resolve([1]) },
      { candidates: 2 },
    );
    await expect(short.rank("dog", items, 2)).rejects.toThrow(ModelCallError);
    await expect(short.rank("dog", items, 2)).rejects.toThrow("short gave 1 scores for 2 texts");
  });
});
