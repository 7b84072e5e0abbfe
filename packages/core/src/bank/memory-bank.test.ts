import { MemoryOperationError, type OperationSource } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { applyOperations } from "./apply-operations.ts";
import { createMemoryBank, type MemoryBank } from "./memory-bank.ts";

function source(turnId: string, date = "1 May 2024"): OperationSource {
  return { actor: "test", participant: "Mia", sourceTurnIds: [turnId], date };
}

function bankOf(...texts: readonly string[]): MemoryBank {
  const bank = createMemoryBank();
  texts.forEach((text, index) => bank.apply({ kind: "ADD", text }, source(`D1:${index + 1}`)));
  return bank;
}

const texts = (bank: MemoryBank): readonly string[] => bank.entries().map((entry) => entry.text);

describe("memory bank", () => {
  it("starts empty", () => {
    const bank = createMemoryBank();
    expect([bank.entries(), bank.size(), bank.journal()]).toEqual([[], 0, []]);
    expect(bank.get("0")).toBeUndefined();
  });

  it("ADD makes the next id, and an id is never used again", () => {
    const bank = bankOf("tea", "cats");
    bank.apply({ kind: "DELETE", id: "1" }, source("D1:3"));
    const record = bank.apply({ kind: "ADD", text: "snow ❄️" }, source("D1:4"));
    expect(record).toEqual({
      index: 3,
      operation: { kind: "ADD", text: "snow ❄️" },
      source: source("D1:4"),
      createdId: "2",
    });
    expect(bank.entries().map(({ id, text }) => [id, text])).toEqual([
      ["0", "tea"],
      ["2", "snow ❄️"],
    ]);
  });

  it("UPDATE keeps id, place, participant and creation; adds turns and history", () => {
    const bank = bankOf("cheese pizza", "cats");
    const update = { kind: "UPDATE", id: "0", text: "cheese and chicken pizza" } as const;
    bank.apply(update, { ...source("D2:5", "2 May 2024"), participant: "Leo" });
    bank.apply({ ...update, text: "all pizza" }, source("D1:1", "3 May 2024"));
    expect(bank.entries()[0]).toEqual({
      id: "0",
      text: "all pizza",
      participant: "Mia",
      sourceTurnIds: ["D1:1", "D2:5"],
      createdAt: "1 May 2024",
      updatedAt: "3 May 2024",
      history: ["cheese pizza", "cheese and chicken pizza"],
    });
    expect(texts(bank)).toEqual(["all pizza", "cats"]);
  });

  it("NOOP leaves the entries and is journalled", () => {
    const bank = bankOf("tea");
    expect(bank.apply({ kind: "NOOP" }, source("D1:2"))).not.toHaveProperty("createdId");
    expect([texts(bank), bank.journal().length]).toEqual([["tea"], 2]);
  });

  it.each([
    { kind: "UPDATE", id: "7", text: "x" },
    { kind: "DELETE", id: "7" },
    { kind: "UPDATE", id: "0", text: " \n" },
    { kind: "ADD", text: "" },
  ] as const)("refuses $kind of what is not there, and stays as it was", (operation) => {
    const bank = bankOf("tea");
    const before = { entries: bank.entries(), journal: bank.journal() };
    expect(() => bank.apply(operation, source("D1:2"))).toThrow(MemoryOperationError);
    expect({ entries: bank.entries(), journal: bank.journal() }).toEqual(before);
    expect(bank.apply({ kind: "ADD", text: "next" }, source("D1:3")).createdId).toBe("1");
  });

  it("a fork and its origin do not see each other's changes", () => {
    const bank = bankOf("tea", "cats");
    const fork = bank.fork();
    fork.apply({ kind: "DELETE", id: "0" }, source("D1:3"));
    bank.apply({ kind: "UPDATE", id: "1", text: "dogs" }, source("D1:3"));
    const second = bank.fork();
    second.apply({ kind: "ADD", text: "snow" }, source("D1:4"));
    expect([texts(bank), texts(fork), texts(second)]).toEqual([
      ["tea", "dogs"],
      ["cats"],
      ["tea", "dogs", "snow"],
    ]);
    expect([bank.journal().length, fork.journal().length]).toEqual([3, 3]);
  });

  it("what was read before a change does not change", () => {
    const bank = bankOf("tea");
    const before = bank.entries();
    bank.apply({ kind: "UPDATE", id: "0", text: "coffee" }, source("D1:2"));
    expect(before.map(({ text }) => text)).toEqual(["tea"]);
  });
});

describe("applyOperations", () => {
  it("applies what is possible and counts the rest", () => {
    const bank = bankOf("tea");
    const result = applyOperations(
      bank,
      [
        { kind: "DELETE", id: "0" },
        { kind: "DELETE", id: "0" },
        { kind: "ADD", text: "cats" },
      ],
      source("D1:2"),
    );
    expect(result.applied.map(({ operation }) => operation.kind)).toEqual(["DELETE", "ADD"]);
    expect(result.rejected).toEqual([
      {
        operation: { kind: "DELETE", id: "0" },
        reason: expect.stringContaining('"0" is not in the bank'),
      },
    ]);
    expect(texts(bank)).toEqual(["cats"]);
  });

  it("does nothing for no operations", () => {
    expect(applyOperations(bankOf("tea"), [], source("D1:2"))).toEqual({
      applied: [],
      rejected: [],
    });
  });
});
