import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { createClient } from "@libsql/client/sqlite3";
import { ConfigError, StoreError } from "@memory-r1/spec";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeMemoryStore, exampleSource } from "../testing/memory-store-contract.ts";
import { breakAtStatement } from "./__fixtures__/faulty-database.ts";
import { exportBanks } from "./bank-lines.ts";
import type { MemoryStore, OperationBatch } from "./memory-store.ts";
import { replayBank } from "./replay-bank.ts";
import { createSqlStore } from "./sql-store.ts";
import { openSqlite, sqliteDialect } from "./sqlite-database.ts";
import { createSqliteStore } from "./sqlite-store.ts";

let folder: string;
let count = 0;
const newPath = (): string => join(folder, `bänke ${count++} #1 %20?.db`);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "memory-r1-store-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describeMemoryStore(
  "the SQLite store in a file",
  () => {
    const path = newPath();
    return { open: () => createSqliteStore({ path }) };
  },
  { isDurable: true },
);

describeMemoryStore(
  "the SQLite store in memory",
  () => ({ open: () => createSqliteStore({ path: ":memory:" }) }),
  { isDurable: false },
);

const source = exampleSource;
const at = "2024-05-01T09:00:00.000Z";

async function bytesOf(store: MemoryStore): Promise<string> {
  let bytes = "";
  for await (const line of exportBanks(store)) bytes += line;
  return bytes;
}

describe("the SQLite store", () => {
  it("leaves nothing of a batch that breaks before any of its statements", async () => {
    const path = newPath();
    const store = await createSqliteStore({ path });
    await store.append("a", {
      expectedVersion: 0,
      operations: ["tea", "cats"].map((text) => ({
        operation: { kind: "ADD", text },
        source,
        at,
      })),
      vectors: new Map([["0", Float32Array.of(1, 2)]]),
    });
    const before = await bytesOf(store);
    const batch: OperationBatch = {
      expectedVersion: 2,
      operations: [
        { operation: { kind: "ADD", text: "snow" }, source, at },
        { operation: { kind: "UPDATE", id: "0", text: "green tea" }, source, at },
        { operation: { kind: "DELETE", id: "1" }, source, at },
      ],
    };
    // The store is opened while the database is whole: only the append's own statements break.
    const faulty = async (position: number): Promise<MemoryStore> => {
      const database = breakAtStatement(await openSqlite({ path }), position);
      return createSqlStore(database, sqliteDialect(path));
    };
    for (let position = 0; position < 7; position++) {
      const broken = await faulty(position);
      await expect(broken.append("a", batch)).rejects.toThrow(StoreError);
      await broken.close();
      expect(await bytesOf(store)).toBe(before);
    }
    // There are seven statements: the eighth never comes.
    const whole = await faulty(7);
    expect(await whole.append("a", batch)).toHaveLength(3);
    await whole.close();
    expect((await store.read("a")).entries.map(({ text }) => text)).toEqual(["green tea", "snow"]);
    await store.close();
  });

  it("serves several processes at once, and leaves nothing of one that is killed in a batch", async () => {
    const path = newPath();
    const launcher = fileURLToPath(new URL("./__fixtures__/run-in-child.mjs", import.meta.url));
    const child = fileURLToPath(new URL("./__fixtures__/write-in-child.ts", import.meta.url));
    const run = async (...words: readonly string[]): Promise<unknown> => {
      const process = spawn("node", [launcher, child, path, ...words], {
        stdio: ["ignore", "inherit", "inherit"],
      });
      const [code, signal] = await once(process, "exit");
      return signal ?? code;
    };
    const ends = await Promise.all([run("left", "20"), run("right", "20", "crash")]);
    expect(ends).toEqual([0, "SIGKILL"]);
    const store = await createSqliteStore({ path });
    const { version, entries } = await store.read("shared");
    const texts = entries.map(({ text }) => text);
    expect(version).toBe(39);
    for (const [writer, last] of [
      ["left", 20],
      ["right", 19],
    ] as const) {
      expect(texts.filter((text) => text.startsWith(writer))).toEqual(
        Array.from({ length: last }, (_, index) => `${writer}: ${index}`),
      );
    }
    expect((await replayBank(store, "shared")).entries()).toEqual(entries);
    await store.close();
  });

  it("says so where another program keeps the file locked for longer than asked for", async () => {
    const path = newPath();
    const store = await createSqliteStore({ path, busyTimeoutMs: 20 });
    const other = createClient({ url: pathToFileURL(path).href });
    const transaction = await other.transaction("write");
    const append = store.append("a", {
      expectedVersion: 0,
      operations: [{ operation: { kind: "NOOP" }, source, at }],
    });
    await expect(append).rejects.toThrow(/failed: .*locked.*not stored/);
    expect(await store.banks()).toEqual([]);
    transaction.close();
    other.close();
    await store.close();
  });

  it("refuses a database of a newer version, and leaves it as it is", async () => {
    const path = newPath();
    const store = await createSqliteStore({ path });
    await store.close();
    const database = await openSqlite({ path });
    await database.query("UPDATE memory_schema SET version = 2");
    const opened = createSqliteStore({ path });
    await expect(opened).rejects.toThrow(ConfigError);
    await expect(opened).rejects.toThrow(/newer version .* version 2, this program knows 1/);
    expect(await database.query("SELECT version FROM memory_schema")).toMatchObject([
      { version: 2 },
    ]);
    await database.close();
  });

  it("says what to do about a folder that is missing and a file that is no database", async () => {
    await expect(createSqliteStore({ path: join(folder, "none", "x.db") })).rejects.toThrow(
      /none.*x\.db cannot be opened.*folder that exists/,
    );
    const path = newPath();
    await writeFile(path, "Dear diary, this is no database at all.\n".repeat(100));
    const opened = createSqliteStore({ path });
    await expect(opened).rejects.toThrow(ConfigError);
    await expect(opened).rejects.toThrow(/cannot be opened/);
  });
});
