import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { GenerateResult, TextGenerator } from "@memory-r1/spec";
import { afterEach, beforeEach, expect, it } from "vitest";
import { createSqliteStore } from "../store/sqlite-store.ts";
import { createMemoryR1 } from "./memory-r1.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "memory-r1-memory-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** Adds the fact of every prompt, after a moment in which another writer may come first. */
const keepEverything: TextGenerator = {
  description: "keeps everything",
  generate: async (requests) => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    return requests.map(({ messages }): GenerateResult => {
      const fact = /^New fact: (.*)$/m.exec(messages.at(-1)?.content ?? "")?.[1] ?? "";
      return { status: "completed", completions: [{ text: `ADD: ${fact}`, stopReason: "stop" }] };
    });
  },
};

it("three openings of one file share a memory: each turn once, none lost, and there after a restart", async () => {
  const path = join(folder, "memory.sqlite");
  const open = async () => {
    const store = await createSqliteStore({ path });
    const memory = createMemoryR1({
      model: keepEverything,
      store,
      format: "compact",
      maxConflicts: 100,
    });
    return { store, memory };
  };
  const openings = await Promise.all([open(), open(), open()]);
  const turns = Array.from({ length: 12 }, (_, index) => ({
    id: `t${index}`,
    speaker: "Zoë",
    text: `fact ${index} 🐈`,
    date: "1 May 2024",
  }));
  // Each opening is given every turn: the second and third come too late for those that the first took.
  const outcomes = await Promise.all(
    openings.map(async ({ memory }) =>
      Promise.all(turns.map(async (turn) => (await memory.ingest(turn)).status)),
    ),
  );
  expect(outcomes.flat().filter((status) => status === "ingested")).toHaveLength(12);
  for (const { store } of openings) await store.close();

  const { memory, store } = await open();
  const texts = (await memory.entries()).map(({ text }) => text);
  expect(texts.toSorted()).toEqual(turns.map(({ text }) => `Zoë: ${text}`).toSorted());
  expect(await memory.journal()).toHaveLength(12);
  await store.close();
});
