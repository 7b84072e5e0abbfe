import type { GenerateRequest, GenerateResult, TextGenerator } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createMemoryBank, type MemoryBank } from "../bank/memory-bank.ts";
import { createBm25Retriever } from "../retrieval/bm25-retriever.ts";
import { addEverythingManager, createManagerAgent } from "./manager-agent.ts";
import { createMemoryManager, type MemoryManagerOptions } from "./memory-manager.ts";

const date = "1 May 2024";

function bankOf(...facts: readonly (readonly [participant: string, text: string])[]): MemoryBank {
  const bank = createMemoryBank();
  for (const [participant, text] of facts) {
    bank.apply({ kind: "ADD", text }, { actor: "test", participant, sourceTurnIds: [], date });
  }
  return bank;
}

function manager(options: Partial<MemoryManagerOptions> = {}) {
  return createMemoryManager({
    format: "compact",
    constrained: true,
    shownCount: 2,
    retriever: createBm25Retriever(),
    ...options,
  });
}

const bank = bankOf(
  ["Leo", "Leo has a cat"],
  ["Mia", "Mia likes chicken pizza"],
  ["Leo", "Leo sings"],
  ["Leo", "Leo likes cheese pizza"],
);
const fact = { text: "Leo likes chicken pizza", participant: "Leo" };

/** Answers in turn, and keeps what it was asked. */
function scripted(...results: readonly GenerateResult[]): TextGenerator & {
  readonly requests: GenerateRequest[];
} {
  const requests: GenerateRequest[] = [];
  return {
    description: "scripted",
    requests,
    generate: (batch) => {
      requests.push(...batch);
      return Promise.resolve(results.slice(requests.length - batch.length, requests.length));
    },
  };
}

const reply = (text: string): GenerateResult => ({
  status: "completed",
  completions: [{ text, stopReason: "stop" }],
});

describe("createMemoryManager", () => {
  it("shows the best of the participant's memories, best first (of equals the shorter), and maps numbers to ids", async () => {
    const prompt = await manager().prompt({ bank, fact, date });
    expect(prompt.shown.map(({ id }) => id)).toEqual(["3", "2"]);
    expect(prompt.messages.at(-1)?.content).toBe(
      "Memories:\n1. Leo likes cheese pizza\n2. Leo sings\nNew fact: Leo likes chicken pizza",
    );
    expect(manager().parse("DELETE 1", prompt.shown)).toEqual({
      status: "parsed",
      operations: [{ kind: "DELETE", id: "3" }],
    });
  });

  it("can show the whole bank", async () => {
    const prompt = await manager({ scope: "bank" }).prompt({ bank, fact, date });
    expect(prompt.shown.map(({ id }) => id)).toEqual(["1", "3"]);
  });

  it("carries a grammar of exactly what is shown only where it is constrained", async () => {
    const prompt = await manager().prompt({ bank: createMemoryBank(), fact, date });
    expect(prompt.constraint?.value).not.toContain("UPDATE");
    expect(prompt.messages.at(-1)?.content).toContain("Memories:\n(none)\n");
    const free = await manager({ constrained: false }).prompt({ bank, fact, date });
    expect(free).not.toHaveProperty("constraint");
    expect(free.shown).toHaveLength(2);
  });

  it("names itself after its format", () => {
    expect([manager().name, manager({ format: "mem0-json", constrained: false }).name]).toEqual([
      "compact-constrained",
      "mem0-json",
    ]);
  });
});

describe("createManagerAgent", () => {
  it("asks once per fact and decides what the reply says", async () => {
    const generator = scripted(reply("UPDATE 1: Leo likes cheese and chicken pizza"));
    const agent = createManagerAgent({ manager: manager(), generator, seed: 1 });
    expect(await agent.decide({ bank, fact, date })).toEqual({
      status: "decided",
      operations: [{ kind: "UPDATE", id: "3", text: "Leo likes cheese and chicken pizza" }],
      raw: "UPDATE 1: Leo likes cheese and chicken pizza",
    });
    expect(generator.requests).toHaveLength(1);
    expect(generator.requests[0]).toMatchObject({ maxTokens: 64, temperature: 0 });
    expect(generator.requests[0]?.constraint?.type).toBe("regex");
  });

  it("tells an unparsable reply from a failed call", async () => {
    const generator = scripted(
      reply("Well, Leo likes pizza"),
      { status: "failed", reason: "timeout" },
      { status: "completed", completions: [] },
    );
    const agent = createManagerAgent({ manager: manager(), generator, seed: 1 });
    const decisions = [];
    for (let call = 0; call < 4; call++) decisions.push(await agent.decide({ bank, fact, date }));
    expect(decisions.map(({ status }) => status)).toEqual([
      "unparsable",
      "failed",
      "failed",
      "failed",
    ]);
    expect(decisions[0]).toMatchObject({ raw: "Well, Leo likes pizza" });
    expect(decisions[1]).toEqual({ status: "failed", reason: "timeout" });
  });
});

describe("addEverythingManager", () => {
  it("adds the fact as it is, whatever the bank holds", async () => {
    expect(await addEverythingManager.decide({ bank, fact, date })).toEqual({
      status: "decided",
      operations: [{ kind: "ADD", text: "Leo likes chicken pizza" }],
    });
  });
});
