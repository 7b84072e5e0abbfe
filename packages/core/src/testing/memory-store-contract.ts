import {
  ConfigError,
  createRandom,
  DataFormatError,
  type MemoryOperation,
  MemoryOperationError,
  type OperationSource,
  StoreError,
  VersionConflictError,
} from "@memory-r1/spec";
import { afterEach, describe, expect, it } from "vitest";
import { createMemoryBank } from "../bank/memory-bank.ts";
import { exportBanks, importBanks } from "../store/bank-lines.ts";
import { changeBank } from "../store/change-bank.ts";
import { createInMemoryStore } from "../store/in-memory-store.ts";
import type { MemoryStore, StoredRecord, TimedOperation } from "../store/memory-store.ts";
import { replayBank } from "../store/replay-bank.ts";

/** Where a test's banks are kept, empty at first. */
export interface StoreDatabase {
  /** A store on this database. Durable adapters give another one with the same banks each time. */
  open(): Promise<MemoryStore>;
}

export const exampleSource: OperationSource = {
  actor: "test",
  participant: "Mia",
  sourceTurnIds: ["D1:1"],
  date: "1 May 2024",
};

/** Times are minutes after nine o'clock. */
function timed(
  operation: MemoryOperation,
  minute = 0,
  source: Partial<OperationSource> = {},
): TimedOperation {
  return {
    operation,
    source: { ...exampleSource, ...source },
    at: `2024-05-01T09:${String(minute).padStart(2, "0")}:00.000Z`,
  };
}

const add = (text: string, minute = 0): TimedOperation => timed({ kind: "ADD", text }, minute);
const vectorOf = (...values: readonly number[]): Float32Array => Float32Array.from(values);
const textsOf = async (store: MemoryStore, bankId: string): Promise<readonly string[]> =>
  (await store.read(bankId)).entries.map(({ text }) => text);

async function collect<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
  const collected: Item[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

const exported = async (store: MemoryStore): Promise<string> =>
  (await collect(exportBanks(store))).join("");

/** A bank with all four operations, pictures, text that is hard to keep, and vectors. */
async function fillExample(store: MemoryStore): Promise<void> {
  await store.append("conv ü/1", {
    expectedVersion: 0,
    operations: [
      timed({ kind: "ADD", text: 'says "hi"\nand leaves 👋\u0000\ud800' }, 0, {
        images: [{ url: "https://example.org/a.jpg", caption: "a dog" }],
      }),
      timed({ kind: "NOOP" }, 1),
      timed({ kind: "ADD", text: "tea" }, 2, { participant: "Zoë", sourceTurnIds: [] }),
    ],
    vectors: new Map([["1", vectorOf(0.1, -2.5e-8, 3)]]),
  });
  await store.append("conv ü/1", {
    expectedVersion: 3,
    operations: [
      timed({ kind: "UPDATE", id: "0", text: "left" }, 3, {
        sourceTurnIds: ["D1:2", "D1:1"],
        images: [{ caption: "a cat" }, { url: "https://example.org/a.jpg", caption: "a dog" }],
      }),
      timed({ kind: "ADD", text: "gone soon" }, 4),
      timed({ kind: "DELETE", id: "2" }, 5),
    ],
    vectors: new Map([["0", vectorOf(1, 0, 0)]]),
  });
  await store.append("another", { expectedVersion: 0, operations: [add("alone")] });
}

/**
 * What users rely on, for every MemoryStore. Call it in a test file; `createDatabase` gives a new place for each test,
 * `isDurable` says whether its banks outlive the store.
 */
export function describeMemoryStore(
  name: string,
  createDatabase: () => StoreDatabase | Promise<StoreDatabase>,
  { isDurable }: { readonly isDurable: boolean },
): void {
  describe(`${name} keeps the contract of a memory store`, () => {
    const opened: MemoryStore[] = [];
    const openOn = async (database: StoreDatabase): Promise<MemoryStore> => {
      const store = await database.open();
      opened.push(store);
      return store;
    };
    const create = async (): Promise<MemoryStore> => openOn(await createDatabase());
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((store) => store.close()));
    });

    it("starts empty, and a bank that nobody wrote to is empty", async () => {
      const store = await create();
      expect(await store.banks()).toEqual([]);
      expect(await store.read("a")).toEqual({ version: 0, nextId: 0, entries: [] });
      expect(await collect(store.journal("a"))).toEqual([]);
      expect(await store.vectors("a")).toEqual({ version: 0, vectors: new Map() });
      expect(await store.search("a", vectorOf(1), 3)).toEqual([]);
      expect(await exported(store)).toBe('{"line":"banks","format":1}\n');
      // An empty batch is no operation.
      expect(await store.append("a", { expectedVersion: 0, operations: [] })).toEqual([]);
      expect(await store.banks()).toEqual([]);
    });

    it("keeps entries, and journals who, when, from which turn, before and after", async () => {
      const store = await create();
      await fillExample(store);
      const dog = { url: "https://example.org/a.jpg", caption: "a dog" };
      const hard = 'says "hi"\nand leaves 👋\u0000\ud800';
      expect(await store.read("conv ü/1")).toEqual({
        version: 6,
        nextId: 3,
        entries: [
          {
            id: "0",
            text: "left",
            participant: "Mia",
            sourceTurnIds: ["D1:1", "D1:2"],
            createdAt: "1 May 2024",
            updatedAt: "1 May 2024",
            history: [hard],
            images: [dog, { caption: "a cat" }],
          },
          {
            id: "1",
            text: "tea",
            participant: "Zoë",
            sourceTurnIds: [],
            createdAt: "1 May 2024",
            updatedAt: "1 May 2024",
            history: [],
          },
        ],
      });
      const journal = await collect(store.journal("conv ü/1"));
      expect(journal.map(({ index, at }) => [index, at.slice(11, 16)])).toEqual([
        [0, "09:00"],
        [1, "09:01"],
        [2, "09:02"],
        [3, "09:03"],
        [4, "09:04"],
        [5, "09:05"],
      ]);
      expect(journal.map(({ createdId }) => createdId)).toEqual([
        "0",
        undefined,
        "1",
        undefined,
        "2",
        undefined,
      ]);
      expect(journal.map(({ before }) => before)).toEqual([
        undefined,
        undefined,
        undefined,
        hard,
        undefined,
        "gone soon",
      ]);
      expect(journal[3]).toEqual({
        index: 3,
        operation: { kind: "UPDATE", id: "0", text: "left" },
        source: {
          ...exampleSource,
          sourceTurnIds: ["D1:2", "D1:1"],
          images: [{ caption: "a cat" }, dog],
        },
        at: "2024-05-01T09:03:00.000Z",
        before: hard,
      });
      const middle = await collect(store.journal("conv ü/1", { from: 2, to: 4 }));
      expect(middle).toEqual(journal.slice(2, 4));
    });

    it("gives the records of a batch as the journal keeps them", async () => {
      const store = await create();
      const records = await store.append("a", {
        expectedVersion: 0,
        operations: [add("tea"), timed({ kind: "UPDATE", id: "0", text: "green tea" }, 1)],
      });
      expect(records.map(({ before }) => before)).toEqual([undefined, "tea"]);
      expect(await collect(store.journal("a"))).toEqual(records);
    });

    it.each<[string, readonly TimedOperation[], ReadonlyMap<string, Float32Array>]>([
      ["an id that is not there", [add("x"), timed({ kind: "DELETE", id: "7" })], new Map()],
      ["an id that is no number", [add("x"), timed({ kind: "DELETE", id: "0 OR 1" })], new Map()],
      ["a number that is no id", [timed({ kind: "UPDATE", id: "00", text: "x" })], new Map()],
      [
        "a second DELETE",
        [timed({ kind: "DELETE", id: "0" }), timed({ kind: "DELETE", id: "0" })],
        new Map(),
      ],
      ["an empty text", [add("x"), add(" \n")], new Map()],
      ["a vector without a memory", [add("x")], new Map([["9", vectorOf(1)]])],
      ["a vector that is not finite", [add("x")], new Map([["0", vectorOf(1, Number.NaN)]])],
      ["a vector of zeros", [add("x")], new Map([["0", vectorOf(0, 0)]])],
      ["a vector without numbers", [add("x")], new Map([["0", vectorOf()]])],
      ["a time without a zone", [{ ...add("x"), at: "2024-05-01 09:00" }], new Map()],
    ])("a batch with %s changes nothing", async (_, operations, vectors) => {
      const store = await create();
      await store.append("a", { expectedVersion: 0, operations: [add("tea")] });
      const before = await exported(store);
      const append = store.append("a", { expectedVersion: 1, operations, vectors });
      await expect(append).rejects.toThrow(MemoryOperationError);
      expect(await exported(store)).toBe(before);
      const [record] = await store.append("a", { expectedVersion: 1, operations: [add("next")] });
      expect(record?.createdId).toBe("1");
    });

    it("refuses a batch that was decided on another version, and says which", async () => {
      const store = await create();
      await store.append("a", { expectedVersion: 0, operations: [add("tea")] });
      for (const expectedVersion of [0, 2]) {
        const conflict = store.append("a", { expectedVersion, operations: [add("late")] });
        await expect(conflict).rejects.toThrow(VersionConflictError);
        await expect(conflict).rejects.toMatchObject({ expected: expectedVersion, found: 1 });
      }
      const first = store.append("b", { expectedVersion: 1, operations: [add("late")] });
      await expect(first).rejects.toMatchObject({ expected: 1, found: 0 });
      expect(await store.banks()).toEqual(["a"]);
      expect(await textsOf(store, "a")).toEqual(["tea"]);
    });

    it("two writers: one gets the conflict, decides again, and nothing is lost", async () => {
      const store = await create();
      const decided: string[] = [];
      let release = (): void => undefined;
      const bothDecided = new Promise<void>((resolve) => {
        release = resolve;
      });
      const write = (writer: string) =>
        changeBank(
          store,
          "a",
          async (bank) => {
            const operation = { kind: "ADD", text: `${writer} saw ${bank.size()}` } as const;
            bank.apply(operation, exampleSource);
            decided.push(writer);
            if (decided.length === 2) release();
            await bothDecided;
          },
          { now: () => add("").at },
        );
      await Promise.all([write("left"), write("right")]);
      expect(decided).toHaveLength(3);
      expect((await textsOf(store, "a")).map((text) => text.slice(-5))).toEqual(["saw 0", "saw 1"]);
    });

    it("gives up after the tries that were asked for, and passes on what the change throws", async () => {
      const store = await create();
      let tries = 0;
      const interrupted = changeBank(
        store,
        "a",
        async (bank) => {
          tries += 1;
          const { version } = await store.read("a");
          await store.append("a", { expectedVersion: version, operations: [add("faster")] });
          bank.apply({ kind: "ADD", text: "slower" }, exampleSource);
        },
        { now: () => add("").at, retryCount: 2 },
      );
      await expect(interrupted).rejects.toThrow(VersionConflictError);
      expect(tries).toBe(3);
      const failing = changeBank(
        store,
        "a",
        (bank) => {
          bank.apply({ kind: "ADD", text: "half" }, exampleSource);
          throw new Error("the model is gone");
        },
        { now: () => add("").at },
      );
      await expect(failing).rejects.toThrow("the model is gone");
      expect(await textsOf(store, "a")).toEqual(["faster", "faster", "faster"]);
    });

    it("embeds what a change left in the bank, in the same batch", async () => {
      const store = await create();
      const embedded: string[] = [];
      const embeddingModel = {
        description: "length of the text",
        embed: (texts: readonly string[]) => {
          embedded.push(...texts);
          return Promise.resolve(texts.map((text) => vectorOf(1, text.length)));
        },
      };
      await changeBank(
        store,
        "a",
        (bank) => {
          for (const text of ["tea", "cats", "gone"]) {
            bank.apply({ kind: "ADD", text }, exampleSource);
          }
          bank.apply({ kind: "UPDATE", id: "0", text: "green tea" }, exampleSource);
          bank.apply({ kind: "DELETE", id: "2" }, exampleSource);
        },
        { now: () => add("").at, embeddingModel },
      );
      expect(embedded).toEqual(["green tea", "cats"]);
      const { vectors } = await store.vectors("a");
      expect([...vectors]).toEqual([
        ["0", vectorOf(1, 9)],
        ["1", vectorOf(1, 4)],
      ]);
    });

    it("replays to any version and any time", async () => {
      const store = await create();
      const operations: readonly TimedOperation[] = [
        add("tea", 0),
        timed({ kind: "UPDATE", id: "0", text: "green tea" }, 10),
        add("cats", 30),
        // This writer's clock is slow.
        timed({ kind: "DELETE", id: "0" }, 20),
      ];
      await store.append("a", { expectedVersion: 0, operations });
      const at = async (point?: { version: number } | { time: string }) =>
        (await replayBank(store, "a", point)).entries().map(({ text }) => text);
      expect(await at({ version: 0 })).toEqual([]);
      expect(await at({ version: 1 })).toEqual(["tea"]);
      expect(await at({ version: 3 })).toEqual(["green tea", "cats"]);
      expect(await at()).toEqual(["cats"]);
      expect(await at({ time: "2024-05-01T08:59:59.999Z" })).toEqual([]);
      expect(await at({ time: "2024-05-01T09:00:00.000Z" })).toEqual(["tea"]);
      // Before the DELETE, and without it: it was decided on a bank with the cats.
      expect(await at({ time: "2024-05-01T09:25:00.000Z" })).toEqual(["green tea"]);
      expect(await at({ time: "2024-05-01T09:30:00.000Z" })).toEqual(["cats"]);
      expect((await replayBank(store, "a")).entries()).toEqual((await store.read("a")).entries);
      await expect(replayBank(store, "a", { time: "today" })).rejects.toThrow(ConfigError);
    });

    it("does what a MemoryBank does, through 300 operations in batches of 1 to 7", async () => {
      const store = await create();
      const random = createRandom(17);
      const integer = (below: number): number => Math.floor(random() * below);
      const bank = createMemoryBank();
      while (bank.journal().length < 300) {
        const expectedVersion = bank.journal().length;
        const operations = Array.from({ length: 1 + integer(7) }, () => {
          const ids = bank.entries().map(({ id }) => id);
          const id = ids[integer(ids.length)];
          const kind = integer(4);
          const text = `memory ${bank.journal().length} ${"é".repeat(kind)}`;
          const operation: MemoryOperation =
            id === undefined || kind < 2
              ? { kind: "ADD", text }
              : kind === 2
                ? { kind: "DELETE", id }
                : { kind: "UPDATE", id, text };
          bank.apply(operation, exampleSource);
          return timed(operation);
        });
        await store.append("a", { expectedVersion, operations });
      }
      const { version, entries } = await store.read("a");
      expect(entries).toEqual(bank.entries());
      expect(version).toBe(bank.journal().length);
      expect((await replayBank(store, "a", { version: 100 })).journal()).toEqual(
        bank.journal().slice(0, 100),
      );
    });

    it("takes 1,000 memories in one batch, and journals of several pages", async () => {
      const store = await create();
      const texts = Array.from({ length: 1000 }, (_, index) => `memory ${index}`);
      await store.append("a", {
        expectedVersion: 0,
        operations: texts.map((text) => add(text)),
        vectors: new Map(texts.map((_, index) => [String(index), vectorOf(index, 500)])),
      });
      await store.append("a", {
        expectedVersion: 1000,
        operations: texts.map((_, index) =>
          index % 2 === 0 ? timed({ kind: "DELETE", id: String(index) }) : timed({ kind: "NOOP" }),
        ),
      });
      expect(await textsOf(store, "a")).toEqual(texts.filter((_, index) => index % 2 === 1));
      const indexes = (await collect(store.journal("a"))).map(({ index }) => index);
      expect(indexes).toEqual(Array.from({ length: 2000 }, (_, index) => index));
      const found = await store.search("a", vectorOf(501, 500), 1);
      expect(found.map(({ entry }) => entry.text)).toEqual(["memory 501"]);
    });

    it("finds entries by their vectors: cosine, best first, ties in the order of the bank", async () => {
      const store = await create();
      await store.append("a", {
        expectedVersion: 0,
        operations: ["up", "right", "also right", "left", "none"].map((text) => add(text)),
        vectors: new Map([
          ["0", vectorOf(3, 4)],
          ["2", vectorOf(2, 0)],
          ["1", vectorOf(1, 0)],
          ["3", vectorOf(-1, 0)],
        ]),
      });
      const search = async (vector: Float32Array, count: number) =>
        (await store.search("a", vector, count)).map(({ entry, similarity }) => [
          entry.text,
          Math.round(similarity * 1e6) / 1e6,
        ]);
      expect(await search(vectorOf(5, 0), 9)).toEqual([
        ["right", 1],
        ["also right", 1],
        ["up", 0.6],
        ["left", -1],
      ]);
      expect(await search(vectorOf(5, 0), 1)).toEqual([["right", 1]]);
      expect(await search(vectorOf(5, 0), 0)).toEqual([]);
      await expect(search(vectorOf(1, 0, 0), 1)).rejects.toThrow(/have 2 numbers.*has 3/);
      await expect(search(vectorOf(0, 0), 1)).rejects.toThrow(MemoryOperationError);

      // A new text drops the vector of the old one; an UPDATE with a vector keeps its own.
      await store.append("a", {
        expectedVersion: 5,
        operations: [
          timed({ kind: "UPDATE", id: "1", text: "down" }),
          timed({ kind: "UPDATE", id: "2", text: "still right" }),
          timed({ kind: "DELETE", id: "3" }),
        ],
        vectors: new Map([["2", vectorOf(1, 0)]]),
      });
      expect(await search(vectorOf(1, 0), 9)).toEqual([
        ["still right", 1],
        ["up", 0.6],
      ]);
      // Vectors alone, of another model: the version stays, and each query finds its own kind.
      await store.append("a", {
        expectedVersion: 8,
        operations: [],
        vectors: new Map([["4", vectorOf(0, 0, 1)]]),
      });
      expect(await search(vectorOf(0, 0, 1), 9)).toEqual([["none", 1]]);
      expect(await search(vectorOf(1, 0), 1)).toEqual([["still right", 1]]);
      expect((await store.read("a")).version).toBe(8);
    });

    it("keeps banks apart, sorts them, and forgets one when told to", async () => {
      const store = await create();
      for (const id of ["b", "ä", "B", "a'; --", "b\\"]) {
        await store.append(id, {
          expectedVersion: 0,
          operations: [add(`of ${id}`)],
          vectors: new Map([["0", vectorOf(1)]]),
        });
      }
      expect(await store.banks()).toEqual(["B", "a'; --", "b", "b\\", "ä"]);
      expect(await textsOf(store, "a'; --")).toEqual(["of a'; --"]);
      await store.remove("b");
      await store.remove("never there");
      expect(await store.banks()).toEqual(["B", "a'; --", "b\\", "ä"]);
      expect(await store.read("b")).toEqual({ version: 0, nextId: 0, entries: [] });
      expect(await collect(store.journal("b"))).toEqual([]);
      expect(await store.search("b", vectorOf(1), 1)).toEqual([]);
      expect(await textsOf(store, "B")).toEqual(["of B"]);
    });

    it.each(["", "a\u0000b", "\ud800", "x".repeat(513)])("refuses the bank id %j", async (id) => {
      const store = await create();
      await expect(store.read(id)).rejects.toThrow(ConfigError);
      const append = store.append(id, { expectedVersion: 0, operations: [add("x")] });
      await expect(append).rejects.toThrow(ConfigError);
    });

    it("exports, imports and exports the same bytes, as every other store does", async () => {
      const [store, other] = [await create(), await create()];
      await fillExample(store);
      const lines = await exported(store);
      const reference = createInMemoryStore();
      await fillExample(reference);
      expect(lines).toBe(await exported(reference));

      const imported = await importBanks(other, lines.split("\n"), "banks.jsonl");
      expect(imported).toEqual({ banks: 2, records: 7, vectors: 2 });
      expect(await exported(other)).toBe(lines);
      // Again: nothing to do.
      const again = await importBanks(other, lines.split("\n"), "banks.jsonl");
      expect(again).toEqual({ banks: 2, records: 0, vectors: 2 });
      expect(await exported(other)).toBe(lines);
    });

    it("goes on with an import that was interrupted, and never mixes two banks", async () => {
      const [store, other] = [await create(), await create()];
      const operations = ["tea", "cats", "snow"].map((text, minute) => add(text, minute));
      await store.append("a", { expectedVersion: 0, operations });
      const lines = await exported(store);
      await other.append("a", { expectedVersion: 0, operations: operations.slice(0, 2) });
      expect(await importBanks(other, lines.split("\n"), "x")).toMatchObject({ records: 1 });
      expect(await exported(other)).toBe(lines);

      const third = await create();
      await third.append("a", { expectedVersion: 0, operations: [add("dogs")] });
      const mixed = importBanks(third, lines.split("\n"), "x");
      await expect(mixed).rejects.toThrow(/x, at line 3: .*another operation at this place/);
      expect(await textsOf(third, "a")).toEqual(["dogs"]);
    });

    it.each<[string, (lines: string[]) => void, RegExp]>([
      ["no JSON", (lines) => (lines[2] = "{"), /banks\.jsonl, line 3: not valid JSON/],
      [
        "another time",
        (lines) => (lines[2] = lines[2]?.replace("09:00", "9 am") ?? ""),
        /line 3, at record\.at/,
      ],
      ["a missing record", (lines) => lines.splice(3, 1), /line 4: record 2 stands where record 1/],
      [
        "an operation that is impossible",
        (lines) => (lines[5] = lines[5]?.replace('"id":"0"', '"id":"8"') ?? ""),
        /line 6: UPDATE: memory "8" is not in the bank/,
      ],
      [
        "another text before",
        (lines) => (lines[7] = lines[7]?.replace("gone soon", "was here") ?? ""),
        /line 8: replaying the operation gives .*gone soon/,
      ],
      [
        "its end cut off",
        (lines) => lines.splice(9),
        /line 9: bank .* ends with 6 of 6 records and 1 of 2/,
      ],
      ["no first line", (lines) => lines.shift(), /line 1: the first line/],
      [
        "a newer format",
        (lines) => (lines[0] = '{"line":"banks","format":2}'),
        /line 1: the file has format 2/,
      ],
      [
        "a vector twice",
        (lines) => (lines[9] = lines[8] ?? ""),
        /line 10: the vector of memory "0"/,
      ],
    ])(
      "names the line of a file with %s, and stores nothing of that bank",
      async (_, spoil, message) => {
        const source = createInMemoryStore();
        await fillExample(source);
        const lines = (await collect(exportBanks(source, ["conv ü/1"]))).map((line) =>
          line.trimEnd(),
        );
        expect(lines).toHaveLength(10);
        spoil(lines);
        const store = await create();
        const result = importBanks(store, lines, "banks.jsonl");
        await expect(result).rejects.toThrow(DataFormatError);
        await expect(result).rejects.toThrow(message);
        expect(await store.banks()).toEqual([]);
      },
    );

    it("is closed once and for all", async () => {
      const store = await create();
      await store.close();
      await store.close();
      await expect(store.read("a")).rejects.toThrow(StoreError);
      await expect(store.banks()).rejects.toThrow(StoreError);
      await expect(collect(store.journal("a"))).rejects.toThrow(StoreError);
    });

    it.runIf(isDurable)("opened again, it holds the same bytes and goes on", async () => {
      const database = await createDatabase();
      const store = await openOn(database);
      await fillExample(store);
      const before = await exported(store);
      await store.close();
      const again = await openOn(database);
      expect(await exported(again)).toBe(before);
      const [record] = await again.append("conv ü/1", {
        expectedVersion: 6,
        operations: [add("after the restart")],
      });
      expect(record).toMatchObject({ index: 6, createdId: "3" });
    });

    it.runIf(isDurable)("takes writes from two stores on one database at once", async () => {
      const database = await createDatabase();
      const stores = await Promise.all([openOn(database), openOn(database)]);
      const written = await Promise.all(
        stores.map(async (store, writer) => {
          const records: StoredRecord[] = [];
          for (let count = 0; count < 10; count++) {
            const changed = await changeBank(
              store,
              "a",
              (bank) => bank.apply({ kind: "ADD", text: `${writer}: ${count}` }, exampleSource),
              { now: () => add("").at, retryCount: 100 },
            );
            records.push(...changed.records);
          }
          return records;
        }),
      );
      const journal = await collect(stores[0].journal("a"));
      expect(journal.map(({ index }) => index)).toEqual(Array.from({ length: 20 }, (_, n) => n));
      expect(written.flat().toSorted((left, right) => left.index - right.index)).toEqual(journal);
    });
  });
}
