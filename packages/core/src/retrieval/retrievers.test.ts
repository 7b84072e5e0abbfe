import {
  ConfigError,
  type EmbeddingModel,
  type MemoryEntry,
  ModelCallError,
} from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { computeBm25Scores, createBm25Retriever } from "./bm25-retriever.ts";
import { createDenseRetriever } from "./dense-retriever.ts";
import { createRetriever, type RetrieverName, retrievers } from "./registry.ts";
import { inBankOrder, topMemories } from "./top-memories.ts";

/** Unit vectors by hand: a text's angle in degrees is the number that it ends in. */
function angleModel(): EmbeddingModel & { readonly calls: string[][] } {
  const calls: string[][] = [];
  return {
    description: "angles",
    calls,
    embed: (texts) => {
      calls.push([...texts]);
      return Promise.resolve(
        texts.map((text) => {
          const radians = (Number(/\d+$/.exec(text)?.[0] ?? 0) * Math.PI) / 180;
          return Float32Array.of(Math.cos(radians), Math.sin(radians));
        }),
      );
    },
  };
}

const item = (text: string): { readonly text: string } => ({ text });

const names = [
  "dense",
  "bm25",
  "hybrid",
  "dense-recency",
] as const satisfies readonly RetrieverName[];

describe.each(names)("%s retriever", (name) => {
  const retriever = createRetriever(name, { embeddingModel: angleModel() });

  it("has its registry name", () => {
    expect(retriever.name).toBe(name);
  });

  it("returns the very items, at most count, ties in the order given", async () => {
    const items = [item("tea 40"), item("tea 40"), item("tea 40")];
    const ranked = await retriever.rank("tea 40", items, 2);
    expect(ranked).toHaveLength(2);
    expect(ranked[0]).toBe(items[0]);
    expect(ranked[1]).toBe(items[1]);
  });

  it("takes no items, no count and no query words", async () => {
    expect(await retriever.rank("tea", [], 3)).toEqual([]);
    expect(await retriever.rank("tea", [item("tea")], 0)).toEqual([]);
    expect(await retriever.rank("", [item("tea"), item("")], 5)).toHaveLength(2);
    expect(await retriever.match("tea", [], 3)).toEqual([]);
    expect(await retriever.match("tea", [item("tea")], 0)).toEqual([]);
  });

  it("puts what matches first, best first, and leaves nothing out of a full ranking", async () => {
    const items = [item("coffee 170"), item("猫 Ärger 50"), item("tea 40"), item("tea leaf 90")];
    const ranked = await retriever.rank("tea 40", items, 9);
    expect(ranked[0]).toBe(items[2]);
    expect(new Set(ranked)).toEqual(new Set(items));
    const matches = await retriever.match("tea 40", items, 9);
    expect(matches.map(({ position }) => items[position])).toEqual(ranked.slice(0, matches.length));
    expect(matches.map(({ score }) => score)).toEqual(
      matches.map(({ score }) => score).toSorted((left, right) => right - left),
    );
    expect((await retriever.rank("ärger 50", items, 1))[0]).toBe(items[1]);
  });

  it("sees an entry that came, changed or went since the last call, and a bank beside it", async () => {
    const bank = [item("salt 10"), item("tea 40"), item("rice 80")];
    const best = async (items: readonly { readonly text: string }[]) =>
      (await retriever.rank("tea 40", items, 1))[0];
    expect(await best(bank)).toBe(bank[1]);
    const changed = bank.with(1, item("milk 120"));
    bank.push(item("tea 40"));
    expect(await best(changed)).not.toBe(bank[1]);
    expect(await best(bank)).toBe(bank[1]);
    bank.splice(1, 1);
    expect(await best(bank)).toBe(bank[2]);
  });

  it("ranks 1,500 items as the same ranker does them in parts", async () => {
    const items = Array.from({ length: 1500 }, (_, index) => item(`tea ${180 - (index % 150)}`));
    // 40 degrees: index 140, 290, ...; ties in the order given.
    const ranked = await retriever.rank("tea 40", items, 3);
    expect(ranked.map((found) => items.indexOf(found))).toEqual([140, 290, 440]);
  });
});

describe("dense retriever", () => {
  it("ranks by cosine", async () => {
    const items = [item("a 90"), item("b 10"), item("c 350"), item("d 30")];
    // Degrees away from 15: 75, 5, 25, 15.
    const ranked = await createDenseRetriever(angleModel()).rank("q 15", items, 4);
    expect(ranked.map(({ text }) => text)).toEqual(["b 10", "d 30", "c 350", "a 90"]);
  });

  it("embeds a text once, in one batch per call, also for overlapping calls", async () => {
    const model = angleModel();
    const retriever = createDenseRetriever(model);
    await Promise.all([
      retriever.rank("q 1", [item("a 1"), item("b 2"), item("a 1")], 1),
      retriever.rank("q 1", [item("b 2"), item("c 3")], 1),
    ]);
    await retriever.rank("a 1", [item("c 3")], 1);
    expect(model.calls).toEqual([["q 1", "a 1", "b 2"], ["c 3"]]);
  });

  it("does not remember a failure", async () => {
    const model = angleModel();
    let failures = 1;
    const retriever = createDenseRetriever({
      ...model,
      embed: (texts) =>
        failures-- > 0 ? Promise.reject(new Error("server is away")) : model.embed(texts),
    });
    await expect(retriever.rank("q 1", [item("a 1")], 1)).rejects.toThrow("server is away");
    expect(await retriever.rank("q 1", [item("a 1")], 1)).toHaveLength(1);
  });

  it("says so when vectors are missing", async () => {
    const retriever = createDenseRetriever({ ...angleModel(), embed: () => Promise.resolve([]) });
    await expect(retriever.rank("q", [item("a")], 1)).rejects.toThrow("fewer vectors than texts");
  });

  it("says so when vectors are no numbers or of another length", async () => {
    const giving = (...values: number[]): EmbeddingModel => ({
      description: "broken",
      embed: (texts) =>
        Promise.resolve(texts.map((_, index) => Float32Array.from(index === 0 ? [1, 0] : values))),
    });
    const rank = (model: EmbeddingModel) => createDenseRetriever(model).rank("q", [item("a")], 1);
    await expect(rank(giving(1, Number.NaN))).rejects.toThrow(ModelCallError);
    await expect(rank(giving(1, 2, 3))).rejects.toThrow(
      "broken returned a vector of 3 dimensions, where there should be 2",
    );
  });
});

describe("BM25", () => {
  // By hand, k1 = 1.2, b = 0.75, lengths 2 and 4, mean 3.
  // "d": idf = ln(1 + 1.5 / 1.5) = 0.693147; second text: 0.693147 * 2 / (2 + 1.2 * (0.25 + 0.75 * 4 / 3)).
  // "a": idf = ln(1 + 0.5 / 2.5) = 0.182322; 0.182322 / (1 + 0.9) and 0.182322 / (1 + 1.5).
  it("equals the values computed by hand", () => {
    const texts = ["a b", "A c d, d!"];
    expect(computeBm25Scores("d", texts)[0]).toBe(0);
    expect(computeBm25Scores("d", texts)[1]).toBeCloseTo(0.396084, 6);
    expect(computeBm25Scores("a", texts)[0]).toBeCloseTo(0.095959, 6);
    expect(computeBm25Scores("a", texts)[1]).toBeCloseTo(0.072929, 6);
    expect(computeBm25Scores("d a a", texts)[1]).toBeCloseTo(0.396084 + 0.072929, 5);
  });

  it("takes other parameters: b = 0 forgets lengths", () => {
    // idf 0.182322 over (1 + 2), for both texts.
    expect(computeBm25Scores("a", ["a b", "a c d d"], { k1: 2, b: 0 })[1]).toBeCloseTo(0.060774, 6);
  });

  it("reads any script and ignores case and width", async () => {
    const items = [item("Ein Hund"), item("Die ÄRZTIN wohnt in Köln"), item("猫 ですよ")];
    const retriever = createBm25Retriever();
    expect(await retriever.rank("ärztin?", items, 1)).toEqual([items[1]]);
    expect(await retriever.rank("猫", items, 1)).toEqual([items[2]]);
  });

  it("is all zeros without a shared word, and for empty texts", () => {
    expect(computeBm25Scores("x", ["a", ""])).toEqual([0, 0]);
    expect(computeBm25Scores("x", ["", ""])).toEqual([0, 0]);
    expect(computeBm25Scores("x", [])).toEqual([]);
  });
});

describe("retriever registry", () => {
  it("asks for the embedding model that dense retrieval needs", () => {
    expect(() => createRetriever("dense")).toThrow(ConfigError);
    expect(() => createRetriever("hybrid")).toThrow(
      'The retriever "hybrid" needs an embedding model',
    );
    expect(() => createRetriever("dense-recency")).toThrow(ConfigError);
    expect(Object.keys(retrievers)).toEqual(names);
  });
});

describe("topMemories", () => {
  const entry = (id: string, participant: string, text: string): MemoryEntry => ({
    id,
    text,
    participant,
    sourceTurnIds: [],
    createdAt: "",
    updatedAt: "",
    history: [],
  });
  const entries = [
    entry("0", "Mia", "likes tea"),
    entry("1", "Leo", "has a dog"),
    entry("2", "Leo", "likes green tea"),
    entry("3", "Leo", "sings"),
    entry("4", "Mia", "tea tea tea"),
  ];
  const ids = (list: readonly MemoryEntry[]): readonly string[] => list.map(({ id }) => id);

  it("takes the best of the bank, or the best of each participant", async () => {
    const retriever = createBm25Retriever();
    const overall = await topMemories(retriever, "tea", entries, { mode: "overall", count: 3 });
    expect(ids(overall)).toEqual(["4", "0", "2"]);
    const each = await topMemories(retriever, "tea", entries, { mode: "perParticipant", count: 1 });
    expect(ids(each)).toEqual(["4", "2"]);
    expect(await topMemories(retriever, "tea", [], { mode: "perParticipant", count: 30 })).toEqual(
      [],
    );
  });

  it("takes a name for a participant's whatever its case, width and blanks", async () => {
    const spelled = [
      entry("0", "Zoë", "tea one"),
      entry("1", "ZOE\u0308 ", "tea two"),
      entry("2", "Ｌｅｏ", "tea three"),
      entry("3", "leo", "tea four"),
    ];
    const each = { mode: "perParticipant", count: 1 } as const;
    const rank = async (participants?: readonly string[]) =>
      ids(await topMemories(createBm25Retriever(), "tea", spelled, each, participants));
    expect(await rank()).toEqual(["0", "2"]);
    expect(await rank(["leo", "Zoë"])).toEqual(["2", "0"]);
  });

  it("keeps apart participants whose names differ by case only", async () => {
    const twins = [entry("0", "Sam", "tea"), entry("1", "SAM", "tea"), entry("2", "sam", "tea")];
    const best = await topMemories(
      createBm25Retriever(),
      "tea",
      twins,
      { mode: "perParticipant", count: 1 },
      ["SAM", "Sam"],
    );
    // "sam" could be either: it competes with both, and loses the tie to the earlier entry only.
    expect(ids(best)).toEqual(["1", "0"]);
  });

  it("lets memories about neither compete for every participant's places, once", async () => {
    const mixed = [
      entry("0", "Mia", "tea"),
      entry("1", "Leo", "tea with a lot of milk"),
      entry("2", "the dog", "tea tea"),
      entry("3", "", "tea tea tea"),
    ];
    const rank = async (count: number) =>
      ids(
        await topMemories(createBm25Retriever(), "tea", mixed, { mode: "perParticipant", count }, [
          "Mia",
          "Leo",
        ]),
      );
    expect(await rank(1)).toEqual(["3", "2"]);
    expect((await rank(30)).toSorted()).toEqual(["0", "1", "2", "3"]);
  });

  it("is the best of the bank where nobody is named", async () => {
    const nameless = [entry("0", "", "milk"), entry("1", " ", "tea")];
    const best = await topMemories(createBm25Retriever(), "tea", nameless, {
      mode: "perParticipant",
      count: 1,
    });
    expect(ids(best)).toEqual(["1"]);
  });

  it("can be put back into bank order", async () => {
    const best = await topMemories(createBm25Retriever(), "tea", entries, {
      mode: "overall",
      count: 3,
    });
    expect(ids(inBankOrder(best, entries))).toEqual(["0", "2", "4"]);
  });
});
