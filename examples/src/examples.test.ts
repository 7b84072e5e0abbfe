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
    expect(kept).toContain("Before 20 August 2023:\n  0  Andrew, 3 March 2023");
    expect(kept).toContain("Said on that day:\n  Andrew took in another dog called Scout");
    expect(kept).toContain("After it:\n  0  Andrew, 20 August 2023: Andrew took in two dogs");
    expect(kept).toMatch(/\n {2}two\n {2}shown 1:\n {2}0 {2}Andrew.*\n {2}selected 1:\n {2}0 {2}/);

    // Whatever the last day does, what was there before it is to be seen.
    for (const manager of ["untrained", "trained"]) {
      expect(part(`joannas-turtles: ${manager}`)).toMatch(
        /Before 9 June 2023:\n {2}0 {2}.*furry animals.*\n {2}1 {2}.*likes turtles\n\n/,
      );
    }
    expect(part("joannas-turtles: untrained")).toMatch(
      /After it:\n {2}2 {2}.*cockroaches too\n {2}3 {2}.*calm\n\n/,
    );
    expect(part("joannas-turtles: trained")).toMatch(
      /After it:\n {2}0 {2}.*furry animals.*cockroaches\n {2}1 {2}.*calm\n\n/,
    );
  });

  it("draws of a long bank what the question is about, and how much else there is", async () => {
    const text = await play("case-studies");
    const untrained = text.slice(text.indexOf("== beach-or-mountains: untrained"));
    expect(untrained).toContain("\n  near the mountains\n  shown 60:\n     … 6 more\n  6  John");
    expect(untrained).toContain("  selected 0:\n  (no memories)");
    const beach = text.slice(text.indexOf("== beach-or-mountains: trained"));
    const drawn = (heading: string): readonly string[] =>
      (beach.split(heading)[1] ?? "")
        .split("\n")
        .slice(1, 9)
        .map((line) => line.trim().replace(/^(\d+) .*/, "$1"));
    // 40 weeks, two turns in each. The beach comes in John's of week 7 and 27, the mountains in both of week 3.
    expect(drawn("Before 1 October 2023:")).toEqual([
      "… 6 more",
      "6",
      "7",
      "… 6 more",
      "14",
      "… 39 more",
      "54",
      "… 23 more",
    ]);
    expect(drawn("After it:").at(-1)).toBe("… 25 more");
    expect(beach).toContain("The whole history:\n  ADD 80 times\n");
    // Of 30 memories of each, the four that match, and 6 + 6 + 39 + 5 others.
    expect(drawn("shown 60:").at(-1)).toBe("… 5 more");
    expect(beach).toMatch(
      /\n {2}near a beach\n[^]*selected 2:\n {2}14 .*walks on the beach.*\n {2}54 .*surf/,
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
