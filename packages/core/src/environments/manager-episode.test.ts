import { describe, expect, it } from "vitest";
import { createMemoryBank } from "../bank/memory-bank.ts";
import type { ManagerFormatName } from "../manager/formats/registry.ts";
import { createMemoryManager } from "../manager/memory-manager.ts";
import { createBm25Retriever } from "../retrieval/bm25-retriever.ts";
import { conversation } from "./__fixtures__/ana-and-ben.ts";
import { bankOfFacts, datedFacts, startManagerEpisode } from "./manager-episode.ts";

const facts = datedFacts(conversation);

const managerOf = (format: ManagerFormatName) =>
  createMemoryManager({
    format,
    constrained: true,
    shownCount: 3,
    retriever: createBm25Retriever(),
  });

async function play(
  format: ManagerFormatName,
  replies: readonly string[],
  bank = createMemoryBank(),
) {
  const start = { bank, facts: facts.slice(0, replies.length) };
  const episode = startManagerEpisode(managerOf(format), start);
  for (const text of replies) {
    await episode.nextPrompt();
    await episode.act({ text, stopReason: "stop" });
  }
  return episode;
}

describe("startManagerEpisode", () => {
  it("decides on the facts in turn, each prompt on the bank that the one before left", async () => {
    const episode = startManagerEpisode(managerOf("compact"), {
      bank: createMemoryBank(),
      facts: facts.slice(0, 3),
    });
    const asked: string[] = [];
    for (const text of ["ADD: Ana lives in Lisbon", "NOOP", "UPDATE 1: Ana lives and plays"]) {
      asked.push((await episode.nextPrompt())?.messages.at(-1)?.content ?? "");
      await episode.act({ text, stopReason: "stop" });
    }
    expect(asked).toEqual([
      "Memories:\n(none)\nNew fact: Ana lives in Lisbon",
      "Memories:\n(none)\nNew fact: Ben has a parrot named Kiwi",
      "Memories:\n1. Ana lives in Lisbon\nNew fact: Ana plays the harp",
    ]);
    expect(await episode.nextPrompt()).toBeUndefined();
    expect(episode.operationCounts()).toEqual({ ADD: 1, UPDATE: 1, DELETE: 0, NOOP: 1 });
    expect(episode.bank().entries()).toMatchObject([
      { text: "Ana lives and plays", sourceTurnIds: ["D1:1", "D1:3"], participant: "Ana" },
    ]);
  });

  it("leaves the bank that it starts from as it is", async () => {
    const bank = bankOfFacts(facts.slice(0, 1), "start");
    const episode = await play("compact", ["DELETE 1"], bank);
    expect([bank.size(), episode.bank().size()]).toEqual([1, 0]);
  });

  it("counts what makes no sense and what the bank cannot take, and goes on", async () => {
    const unparsable = await play("compact", ["Sure!", "ADD: Ben has Kiwi"]);
    expect([unparsable.unparsableCount(), unparsable.bank().size()]).toEqual([1, 1]);
    const twice = { id: "0", text: "Ana lives in Lisbon", event: "DELETE" };
    const reply = JSON.stringify({ memory: [twice, twice] });
    const rejected = await play("mem0-json", [reply], bankOfFacts(facts.slice(0, 1), "start"));
    expect([rejected.rejectedCount(), rejected.operationCounts().DELETE]).toEqual([1, 1]);
  });

  it("has nothing to ask where there are no facts, and ignores a reply to no prompt", async () => {
    const episode = startManagerEpisode(managerOf("compact"), {
      bank: createMemoryBank(),
      facts: [],
    });
    expect(await episode.nextPrompt()).toBeUndefined();
    await episode.act({ text: "ADD: something", stopReason: "stop" });
    expect(episode.bank().size()).toBe(0);
  });
});

describe("bankOfFacts", () => {
  it("keeps every fact in order with date and source, repeated ones too", () => {
    const entries = bankOfFacts(facts, "add-everything").entries();
    expect(entries.map(({ text }) => text)).toEqual(facts.map(({ fact }) => fact.text));
    expect(entries.at(5)).toMatchObject({
      text: "Ana lives in Lisbon",
      createdAt: "2 June 2024",
      sourceTurnIds: ["D2:3"],
    });
  });
});
