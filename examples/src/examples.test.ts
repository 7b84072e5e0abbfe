import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { MemoryStore } from "@memory-r1/core";
import { readJsonlFolder } from "@memory-r1/datasets";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { openStore } from "./open-store.ts";
import { examples } from "./registry.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "memory-r1-examples-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function* linesOf(lines: readonly string[]): AsyncIterable<string> {
  await Promise.resolve();
  yield* lines;
}

/** Runs an example as a process of its own would: the store is opened and closed again. */
async function play(name: string, lines: readonly string[] = []): Promise<string> {
  const store: MemoryStore = await openStore(join(folder, "memories.sqlite"));
  const written: string[] = [];
  try {
    await examples[name]?.run({
      small: false,
      store,
      now: () => new Date("2025-01-02T03:04:05.000Z"),
      lines: linesOf(lines),
      write: (line) => written.push(line),
    });
  } finally {
    await store.close();
  }
  return written.join("\n");
}

describe("chat", () => {
  it("remembers across restarts", async () => {
    const first = await play("chat", ["My cat is called Tofu 🐈", "", "I live in Aarau"]);
    expect(first).toContain("I remember 0 things");
    expect(first.split("\n").filter((line) => line === "ADD")).toHaveLength(2);
    const second = await play("chat", ["My cat is called Tofu 🐈", "How is my cat called?"]);
    expect(second.split("\n")).toEqual([
      'I remember 2 things. Tell me something, or ask a question with "?".',
      "NOOP",
      "2025-01-02 03:04: You: My cat is called Tofu 🐈",
      "  from 2 memories",
    ]);
  });

  it("does not know what it was not told", async () => {
    expect(await play("chat", ["Where is Bo?"])).toContain("I do not know.\n  from 0 memories");
  });
});

describe("customer-service", () => {
  it("keeps the facts up to date, and takes a call that comes twice once", async () => {
    const text = await play("customer-service");
    expect(text).toContain("from now on.  (known already)");
    expect(text.match(/^(?:ADD|UPDATE|DELETE|NOOP)\b/gm)).toEqual([
      "ADD",
      "ADD",
      "UPDATE",
      "ADD",
      "DELETE",
    ]);
    expect(text).toContain("  - 2  Amara, 2 June 2024: Amara's parcel 8841 is lost");
    expect(text).toMatch(
      /next parcel go\?\n4 Harbour Street, Hull\nfrom:\n0 {2}Amara, 18 May 2024: .*12 Mill Lane/,
    );
  });

  it("knows every call when it is started again", async () => {
    const history = (text: string): string => text.slice(text.indexOf("\nWhat the Memory"));
    const first = await play("customer-service");
    const second = await play("customer-service");
    expect(second.match(/\(known already\)$/gm)).toHaveLength(6);
    expect(history(second)).toBe(history(first));
  });
});

describe("case-studies", () => {
  it("draws each bank before and after, by an untrained and a trained Manager", async () => {
    const text = await play("case-studies");
    const part = (heading: string): string =>
      text.split("== ").find((section) => section.startsWith(heading)) ?? "";

    const lost = part("buddy-and-scout: untrained");
    expect(lost).toContain(
      "    - 0  Andrew, 3 March 2023: Andrew took in a shelter dog called Buddy",
    );
    expect(lost).toContain("How many dogs has Andrew taken in?\n  one");
    const kept = part("buddy-and-scout: trained");
    expect(kept).toContain("Before the last turn:\n  0  Andrew, 3 March 2023");
    expect(kept).toContain("After it:\n  0  Andrew, 20 August 2023: Andrew took in two dogs");
    expect(kept).toContain("\n  two\n  shown 1, selected 1:\n  0  Andrew");

    expect(part("joannas-turtles: untrained")).not.toMatch(/After it:\n.*furry/);
    expect(part("joannas-turtles: trained")).toMatch(
      /After it:\n {2}0 {2}.*furry animals.*cockroaches\n {2}1 {2}.*calm/,
    );

    expect(part("beach-or-mountains: untrained")).toContain(
      "near the mountains\n  shown 60, selected 0",
    );
    const beach = part("beach-or-mountains: trained");
    expect(beach).toContain("80 memories in the bank.");
    expect(beach).toMatch(
      /near a beach\n {2}shown 60, selected 2:\n {2}7 .*walks on the beach.*\n {2}27 .*surf/,
    );
  });
});

describe("own-data", () => {
  it("is data without a fault that can train", async () => {
    const own = fileURLToPath(new URL("../own-data", import.meta.url));
    const reading = await readJsonlFolder("jsonl", own);
    expect(reading).toMatchObject({ faults: [] });
  });
});
