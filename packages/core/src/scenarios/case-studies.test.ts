import type { MemoryOperationKind } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createAnswerAgent } from "../answer/answer-agent.ts";
import { type AppliedOperations, applyOperations } from "../bank/apply-operations.ts";
import { createMemoryBank, type MemoryBank } from "../bank/memory-bank.ts";
import type { ManagerFormatName } from "../manager/formats/registry.ts";
import { addEverythingManager } from "../manager/manager-agent.ts";
import { createMemoryManager } from "../manager/memory-manager.ts";
import { createBm25Retriever } from "../retrieval/bm25-retriever.ts";
import { paperMemorySelection, topMemories } from "../retrieval/top-memories.ts";

// The three case studies of Memory-R1 (arXiv 2508.19828), retold. Replies are those that a good and a vanilla Manager
// would write; what is tested is what they do to the bank, and what a question can find in it afterwards.

interface Said {
  readonly participant: string;
  readonly text: string;
  readonly turnId: string;
  readonly date: string;
}

const retriever = createBm25Retriever();

/** A fact comes in and the Manager's reply to it goes through prompt, parse and bank. */
async function hear(
  bank: MemoryBank,
  said: Said,
  reply: string,
  format: ManagerFormatName = "mem0-json",
): Promise<AppliedOperations> {
  const manager = createMemoryManager({ format, constrained: true, shownCount: 5, retriever });
  const { shown } = await manager.prompt({ bank, fact: said, date: said.date });
  const parsed = manager.parse(reply, shown);
  if (parsed.status === "unparsable") throw new Error(`test reply is unparsable: ${parsed.reason}`);
  const { participant, turnId, date } = said;
  const source = { actor: manager.name, participant, sourceTurnIds: [turnId], date };
  return applyOperations(bank, parsed.operations, source);
}

async function remember(bank: MemoryBank, said: Said): Promise<void> {
  const decision = await addEverythingManager.decide({ bank, fact: said, date: said.date });
  if (decision.status !== "decided") throw new Error("add-everything always decides");
  const { participant, turnId, date } = said;
  const source = { actor: "add-everything", participant, sourceTurnIds: [turnId], date };
  applyOperations(bank, decision.operations, source);
}

const texts = (bank: MemoryBank): readonly string[] => bank.entries().map(({ text }) => text);
const kinds = (result: AppliedOperations): readonly MemoryOperationKind[] =>
  result.applied.map(({ operation }) => operation.kind);

/** What a question finds: the texts, and the turns that they stem from. */
async function find(bank: MemoryBank, question: string) {
  const found = await topMemories(retriever, question, bank.entries(), {
    mode: "overall",
    count: 2,
  });
  return {
    text: found.map(({ text }) => text).join("\n"),
    turnIds: found.flatMap(({ sourceTurnIds }) => sourceTurnIds),
  };
}

const memoryJson = (...memory: readonly object[]): string => JSON.stringify({ memory });

describe("two dogs: Buddy, then Scout", () => {
  const buddy = {
    participant: "Andrew",
    text: "Andrew took in a shelter dog called Buddy",
    turnId: "D1:4",
    date: "3 March 2023",
  };
  const scout = {
    participant: "Andrew",
    text: "Andrew took in another dog called Scout",
    turnId: "D9:2",
    date: "20 August 2023",
  };
  const merged = "Andrew took in two dogs: Buddy, from a shelter, and Scout";
  const question = "How many dogs has Andrew taken in?";

  it.each<[ManagerFormatName, string]>([
    ["mem0-json", memoryJson({ id: "0", text: merged, event: "UPDATE", old_memory: buddy.text })],
    ["compact", `UPDATE 1: ${merged}`],
  ])("%s, right reply: one memory holds both dogs and both turns", async (format, reply) => {
    const bank = createMemoryBank();
    await remember(bank, buddy);
    expect(kinds(await hear(bank, scout, reply, format))).toEqual(["UPDATE"]);
    expect(bank.entries()).toEqual([
      {
        id: "0",
        text: merged,
        participant: "Andrew",
        sourceTurnIds: ["D1:4", "D9:2"],
        createdAt: "3 March 2023",
        updatedAt: "20 August 2023",
        history: [buddy.text],
      },
    ]);
    expect(await find(bank, question)).toEqual({ text: merged, turnIds: ["D1:4", "D9:2"] });
    expect(createAnswerAgent({ variant: "short" }).parse("Two dogs")).toEqual({
      status: "parsed",
      answer: "Two dogs",
    });
  });

  it("vanilla reply: Buddy is gone, and so is the turn that answers", async () => {
    const bank = createMemoryBank();
    await remember(bank, buddy);
    const reply = memoryJson(
      { id: "0", text: buddy.text, event: "DELETE" },
      { id: "1", text: scout.text, event: "ADD" },
    );
    expect(kinds(await hear(bank, scout, reply))).toEqual(["DELETE", "ADD"]);
    expect(bank.entries().map(({ id, text, history }) => ({ id, text, history }))).toEqual([
      { id: "1", text: scout.text, history: [] },
    ]);
    const found = await find(bank, question);
    expect(found.turnIds).toEqual(["D9:2"]);
    expect(found.text).not.toContain("Buddy");
    // The journal still knows: nothing that a Manager destroys is lost to the experimenter.
    expect(bank.journal()[0]?.operation).toEqual({ kind: "ADD", text: buddy.text });
  });

  it("adding everything keeps both, in two memories", async () => {
    const bank = createMemoryBank();
    await remember(bank, buddy);
    await remember(bank, scout);
    expect(texts(bank)).toEqual([buddy.text, scout.text]);
    expect((await find(bank, question)).turnIds.toSorted()).toEqual(["D1:4", "D9:2"]);
  });
});

describe("Joanna: allergies, and turtles that she likes all the same", () => {
  const joanna = (text: string, turnId: string): Said => ({
    participant: "Joanna",
    text,
    turnId,
    date: "5 May 2023",
  });
  const known = [
    joanna("Joanna is allergic to furry animals and most reptiles", "D2:1"),
    joanna("Joanna likes turtles", "D2:7"),
  ];
  const allergy = joanna("Joanna is allergic to turtles and cockroaches too", "D5:3");
  const fondness = joanna("Joanna likes turtles because they are calm", "D5:4");
  const allAllergies =
    "Joanna is allergic to furry animals and most reptiles, turtles among them, and cockroaches";
  const question = "Which allergies does Joanna have?";

  async function start(): Promise<MemoryBank> {
    const bank = createMemoryBank();
    for (const said of known) await remember(bank, said);
    return bank;
  }

  it("right replies: two UPDATEs that merge keep what was known", async () => {
    const bank = await start();
    // The allergy is the better match of the first fact and so has the prompt's number 0; the liking of the second.
    await hear(bank, allergy, memoryJson({ id: "0", text: allAllergies, event: "UPDATE" }));
    await hear(bank, fondness, memoryJson({ id: "0", text: fondness.text, event: "UPDATE" }));
    expect(texts(bank)).toEqual([allAllergies, fondness.text]);
    expect(bank.entries().map(({ sourceTurnIds }) => sourceTurnIds)).toEqual([
      ["D2:1", "D5:3"],
      ["D2:7", "D5:4"],
    ]);
    const found = await find(bank, question);
    expect(found.text).toContain("furry");
    expect(found.text).toContain("cockroaches");
    expect(found.turnIds).toEqual(expect.arrayContaining(["D2:1", "D5:3"]));
  });

  it("vanilla reply: to like and to be allergic look like a contradiction, and both memories go", async () => {
    const bank = await start();
    const reply = memoryJson(
      { id: "0", text: "", event: "DELETE" },
      { id: "1", text: "", event: "DELETE" },
      { id: "2", text: allergy.text, event: "ADD" },
    );
    expect(kinds(await hear(bank, allergy, reply))).toEqual(["DELETE", "DELETE", "ADD"]);
    expect(texts(bank)).toEqual([allergy.text]);
    const found = await find(bank, question);
    expect(found.turnIds).toEqual(["D5:3"]);
    expect(found.text).not.toContain("furry");
  });
});

describe("by the beach, or in the mountains?", () => {
  const question = { text: "Is John's home near a beach or near the mountains?" };
  const beach = [
    "John walks on the beach near his home every morning",
    "John's children learnt to surf at the beach next door",
  ];

  /** 40 memories of each of two people: more than the 30 that the paper takes, most of them beside the point. */
  async function start(): Promise<MemoryBank> {
    const bank = createMemoryBank();
    for (const participant of ["John", "Maria"]) {
      for (let index = 0; index < 40; index++) {
        const own =
          participant === "John" && index % 20 === 7 ? beach[(index - 7) / 20] : undefined;
        const text =
          own ??
          (index === 3
            ? `${participant} dreams of a trip to the mountains`
            : `${participant} read book number ${index}`);
        await remember(bank, { participant, text, turnId: `D${index}:1`, date: "1 June 2023" });
      }
    }
    return bank;
  }

  it("60 candidates, distilled to the two that matter, give the answer", async () => {
    const bank = await start();
    const found = await topMemories(retriever, question.text, bank.entries(), paperMemorySelection);
    expect(found).toHaveLength(60);
    expect(found.map(({ participant }) => participant)).toEqual([
      ...Array.from({ length: 30 }, () => "John"),
      ...Array.from({ length: 30 }, () => "Maria"),
    ]);
    const agent = createAnswerAgent({ variant: "distill" });
    const messages = agent.prompt({
      question,
      memories: found.map(({ text, participant, updatedAt }) => ({
        text,
        participant,
        date: updatedAt,
      })),
    });
    const lines = messages.at(-1)?.content.split("\n") ?? [];
    const numbers = beach.map(
      (text) => /^\d+/.exec(lines.find((line) => line.endsWith(text)) ?? "")?.[0],
    );
    expect(numbers.every((number) => number !== undefined)).toBe(true);

    const reply = beach.map((text, index) => `- ${numbers[index]}: ${text}`).join("\n");
    expect(agent.parse(`${reply}\n\n**Answer:** near a beach`)).toEqual({
      status: "parsed",
      answer: "near a beach",
      selected: beach.map((text, index) => `${numbers[index]}: ${text}`),
    });
  });

  it("a vanilla reply is led astray by one of the other 58, or never comes to an answer", () => {
    const agent = createAnswerAgent({ variant: "distill" });
    expect(agent.parse("**Answer:** near the mountains")).toEqual({
      status: "parsed",
      answer: "near the mountains",
      selected: [],
    });
    expect(agent.parse("John dreams of a trip to the mountains, so").status).toBe("unparsable");
  });
});
