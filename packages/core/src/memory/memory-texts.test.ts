import type { MemoryEntry, MemoryOperation } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createMemoryBank } from "../bank/memory-bank.ts";
import { drawEntries, drawHistory } from "./draw-history.ts";
import { matchSelected } from "./match-selected.ts";

const bankOf = (...operations: readonly MemoryOperation[]) => {
  const bank = createMemoryBank();
  operations.forEach((operation, index) =>
    bank.apply(operation, {
      actor: "test",
      participant: "Mia",
      sourceTurnIds: index === 1 ? [] : [`t${index + 1}`],
      date: `${index + 1} May`,
    }),
  );
  return bank;
};

describe("drawHistory", () => {
  it("shows each operation and the bank after it", () => {
    const bank = bankOf(
      { kind: "ADD", text: "tea" },
      { kind: "ADD", text: "cats\nand dogs" },
      { kind: "UPDATE", id: "0", text: "green tea" },
      { kind: "NOOP" },
      { kind: "DELETE", id: "0" },
      { kind: "DELETE", id: "1" },
    );
    expect(drawHistory(bank.journal())).toBe(
      `ADD 0  (1 May, turn t1)
  + 0  Mia, 1 May: tea

ADD 1  (2 May)
    0  Mia, 1 May: tea
  + 1  Mia, 2 May: cats and dogs

UPDATE 0  (3 May, turn t3)
  ~ 0  Mia, 3 May: green tea
    1  Mia, 2 May: cats and dogs

NOOP  (4 May, turn t4)
    0  Mia, 3 May: green tea
    1  Mia, 2 May: cats and dogs

DELETE 0  (5 May, turn t5)
  - 0  Mia, 3 May: green tea
    1  Mia, 2 May: cats and dogs

DELETE 1  (6 May, turn t6)
  - 1  Mia, 2 May: cats and dogs
    (no memories)`,
    );
  });

  it("says so where there is nothing", () => {
    expect(drawHistory([])).toBe("(nothing happened yet)");
    expect(drawEntries([])).toBe("(no memories)");
    expect(drawEntries(bankOf({ kind: "ADD", text: "tea" }).entries())).toBe("0  Mia, 1 May: tea");
  });
});

describe("matchSelected", () => {
  const shown: readonly MemoryEntry[] = bankOf(
    { kind: "ADD", text: "Leo has a cat" },
    { kind: "ADD", text: "Leo has a cat and a dog" },
    { kind: "ADD", text: "Zoë 🎵 sings" },
  ).entries();
  const ids = (...lines: readonly string[]): readonly string[] =>
    matchSelected(lines, shown).map(({ id }) => id);

  it.each<[string, readonly string[]]>([
    ["3: sings", ["2"]],
    ["1. other words", ["0"]],
    ["2", ["1"]],
    ["Zoë 🎵 sings, since May", ["2"]],
    ["1: Leo has a cat and a dog", ["1"]],
    ["2 May 2024, Mia: likes tea", []],
    ["0: x", []],
    ["4: x", []],
    ["memories that help", []],
  ])("reads %j", (line, expected) => {
    expect(ids(line)).toEqual(expected);
  });

  it("keeps the order of the lines and each memory once", () => {
    expect(ids("3: x", "1: y", "3: z")).toEqual(["2", "0"]);
    expect(ids()).toEqual([]);
  });
});
