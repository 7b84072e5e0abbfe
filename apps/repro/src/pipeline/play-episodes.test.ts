import { readFile, truncate, writeFile } from "node:fs/promises";
import { createBm25Retriever, createMemoryManager, datedFacts } from "@memory-r1/core";
import { loadLocomoMini } from "@memory-r1/datasets";
import { type GenerateRequest, ModelCallError } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createCountingProgress } from "./__fixtures__/counting-progress.ts";
import {
  createScriptedGenerator,
  lastMessage,
  type ScriptedGenerator,
} from "./__fixtures__/scripted-generator.ts";
import { useTemporaryFolder } from "./__fixtures__/temporary-folder.ts";
import {
  countDecisions,
  type Lane,
  operationMetrics,
  type PlayedEpisode,
  playEpisodes,
} from "./play-episodes.ts";

const { conversations } = await loadLocomoMini();
const pathOf = useTemporaryFolder();
const file = () => pathOf("banks", "test.jsonl");

const manager = createMemoryManager({
  format: "compact",
  constrained: true,
  shownCount: 2,
  retriever: createBm25Retriever(),
});

/** One conversation of four facts, one of six, one of none. */
const lanes: readonly Lane[] = conversations.map((conversation, index) => ({
  key: `lane ${conversation.id}`,
  manager,
  conversation,
  facts: datedFacts(conversation).slice(0, [4, 6][index] ?? 0),
}));

/** All kinds of replies, as a function of the prompt alone. */
function reply(request: GenerateRequest): string {
  const fact = /New fact: (.*)/.exec(lastMessage(request))?.[1] ?? "";
  const hasMemories = lastMessage(request).includes("\n1. ");
  if (fact.includes("triathlon")) return "Sure, I will remember that!";
  if (hasMemories && fact.length % 3 === 0) return `UPDATE 1: ${fact}`;
  if (hasMemories && fact.length % 3 === 1) return "DELETE 1";
  return `ADD: ${fact} 😀`;
}

async function play(
  generator: ScriptedGenerator,
  changes: Partial<Parameters<typeof playEpisodes>[0]> = {},
) {
  const progress = createCountingProgress();
  const played = await playEpisodes({
    lanes,
    generator,
    maxTokens: 20,
    seed: 3,
    temperature: 0,
    file: file(),
    progress,
    signal: new AbortController().signal,
    ...changes,
  });
  return { played, progress };
}

/** Everything that an episode came to, without functions. */
function summary(played: ReadonlyMap<string, PlayedEpisode>) {
  return [...played].map(([key, episode]) => ({
    key,
    journal: episode.bank.journal(),
    entries: episode.bank.entries(),
    metrics: operationMetrics(episode),
  }));
}

describe("playEpisodes", () => {
  it("decides the r-th fact of every lane in one batch, until the longest has ended", async () => {
    const generator = createScriptedGenerator(reply);
    const { played, progress } = await play(generator);
    expect(generator.batches.map((batch) => batch.length)).toEqual([2, 2, 2, 2, 1, 1]);
    expect(progress.count()).toBe(10);
    expect(countDecisions(lanes)).toBe(10);
    expect([...played.keys()]).toEqual(["lane mini-1", "lane mini-2", "lane mini-3"]);
    expect([...played.values()].map(({ facts }) => facts.length)).toEqual([4, 6, 0]);
    for (const request of generator.batches.flat()) {
      expect(request).toMatchObject({ maxTokens: 20, temperature: 0 });
      expect(request.constraint?.type).toBe("regex");
    }
    const seeds = generator.batches.flat().map((request) => request.seed);
    expect(new Set(seeds).size).toBe(10);
  });

  it("builds each bank by its lane's replies, and counts what came of them", async () => {
    const { played } = await play(createScriptedGenerator(reply));
    const [first, second, empty] = [...played.values()];
    if (first === undefined || second === undefined || empty === undefined)
      throw new Error("lanes");
    // The first fact of mini-1 is about a triathlon.
    expect(first.unparsable).toBe(1);
    const { ADD, UPDATE, DELETE, NOOP } = second.operations;
    expect(ADD + UPDATE + DELETE + NOOP + second.unparsable).toBe(6);
    expect(second.bank.size()).toBe(ADD - DELETE);
    expect(second.bank.journal()).toHaveLength(6);
    expect(operationMetrics(empty)).toEqual({
      bankSize: 0,
      unparsable: 0,
      rejected: 0,
      "operations/ADD": 0,
      "operations/UPDATE": 0,
      "operations/DELETE": 0,
      "operations/NOOP": 0,
    });
  });

  it("counts an operation that the bank cannot take", async () => {
    const twice = { id: "0", text: "", event: "DELETE" };
    const generator = createScriptedGenerator((request) =>
      lastMessage(request).includes('{"id":"0"')
        ? JSON.stringify({ memory: [twice, twice] })
        : JSON.stringify({ memory: [{ text: "something", event: "ADD" }] }),
    );
    const jsonManager = createMemoryManager({
      format: "mem0-json",
      constrained: false,
      shownCount: 2,
      retriever: createBm25Retriever(),
    });
    const { played } = await play(generator, {
      lanes: lanes.map((lane) => ({ ...lane, manager: jsonManager })),
    });
    for (const { operations, rejected, unparsable, facts } of played.values()) {
      expect(unparsable).toBe(0);
      expect(rejected).toBe(operations.DELETE);
      expect(operations.ADD + operations.DELETE).toBe(facts.length);
    }
    expect(played.get("lane mini-2")?.rejected).toBeGreaterThan(0);
  });

  it("replays a finished file without asking", async () => {
    const whole = await play(createScriptedGenerator(reply));
    const text = await readFile(file(), "utf8");
    const silent = createScriptedGenerator(reply, { breakAfter: 0 });
    const again = await play(silent);
    expect(silent.batches).toEqual([]);
    expect(summary(again.played)).toEqual(summary(whole.played));
    expect(again.progress.count()).toBe(10);
    expect(await readFile(file(), "utf8")).toBe(text);
  });

  it.each([0, 1, 3, 5])("goes on to the same bytes after %i rounds and a kill", async (rounds) => {
    const whole = await play(createScriptedGenerator(reply), { file: pathOf("whole.jsonl") });
    const killed = createScriptedGenerator(reply, { breakAfter: rounds });
    await expect(play(killed)).rejects.toThrow("killed");
    const resumed = createScriptedGenerator(reply);
    const { played } = await play(resumed);
    expect(resumed.batches).toHaveLength(6 - rounds);
    expect(summary(played)).toEqual(summary(whole.played));
    expect(await readFile(file(), "utf8")).toBe(await readFile(pathOf("whole.jsonl"), "utf8"));
  });

  it("goes on to the same bytes from a file that was cut off anywhere", async () => {
    const whole = await play(createScriptedGenerator(reply));
    const bytes = await readFile(file());
    const isLineEnd = (length: number) => bytes[length - 1] === 10;
    for (let length = 0; length < bytes.length; length++) {
      // Around every line end, and here and there inside the lines.
      if (![length - 1, length, length + 1].some(isLineEnd) && length % 29 !== 0) continue;
      await writeFile(file(), bytes);
      await truncate(file(), length);
      const { played } = await play(createScriptedGenerator(reply));
      expect(Buffer.compare(await readFile(file()), bytes), `cut at ${length}`).toBe(0);
      expect(summary(played), `cut at ${length}`).toEqual(summary(whole.played));
    }
  });

  it("asks a round of which a lane is missing again as a whole", async () => {
    await play(createScriptedGenerator(reply));
    const lines = (await readFile(file(), "utf8")).split("\n");
    // Two whole rounds and one lane of the third.
    await writeFile(file(), `${lines.slice(0, 5).join("\n")}\n`);
    const resumed = createScriptedGenerator(reply);
    await play(resumed);
    expect(resumed.batches.map((batch) => batch.length)).toEqual([2, 2, 1, 1]);
    expect(await readFile(file(), "utf8")).toBe(lines.join("\n"));
  });

  it("stops at a reply that never came, and keeps the rounds before it", async () => {
    let asked = 0;
    const failing = createScriptedGenerator((request) =>
      ++asked > 3 ? undefined : reply(request),
    );
    await expect(play(failing)).rejects.toThrow(ModelCallError);
    expect((await readFile(file(), "utf8")).split("\n")).toHaveLength(2 + 1);
    const silent = createScriptedGenerator(reply);
    await play(silent);
    expect(silent.batches).toHaveLength(5);
  });

  it("stops between rounds when it is told to", async () => {
    const controller = new AbortController();
    const generator = createScriptedGenerator((request) => {
      controller.abort(new Error("Ctrl-C"));
      return reply(request);
    });
    await expect(play(generator, { signal: controller.signal })).rejects.toThrow("Ctrl-C");
    expect(generator.batches).toHaveLength(1);
  });

  it("plays without a file, too", async () => {
    const withFile = await play(createScriptedGenerator(reply));
    const without = await play(createScriptedGenerator(reply), { file: undefined });
    expect(summary(without.played)).toEqual(summary(withFile.played));
  });
});
