import { describe, expect, it } from "vitest";
import { createMemoryBank } from "../bank/memory-bank.ts";
import { computeBankSize } from "./compression.ts";
import type { DatedFact } from "./manager-episode.ts";

/** A token a letter. */
const countTokens = (text: string) => Array.from(text).length;
const options = { weight: 0.5, freeShare: 0.7, countTokens };

function fact(text: string): DatedFact {
  return { fact: { id: "f", text, participant: "Ana", sourceTurnIds: ["D1:1"] }, date: "today" };
}

function bankOf(...texts: readonly string[]) {
  const bank = createMemoryBank();
  for (const text of texts)
    bank.apply(
      { kind: "ADD", text },
      { actor: "test", participant: "Ana", sourceTurnIds: [], date: "today" },
    );
  return bank;
}

describe("computeBankSize", () => {
  const told = [fact("a".repeat(60)), fact("ä😀".repeat(20))];

  it.each([
    [69, 0],
    [70, 0],
    [71, 0.5 * 0.01],
    [100, 0.5 * 0.3],
    // Larger than what was read: the penalty goes on growing.
    [170, 0.5 * 1],
  ])("of %i tokens after 100 costs %f", (size, penalty) => {
    const bank = bankOf("x".repeat(30), "😀".repeat(size - 30));
    const result = computeBankSize(bank, told, options);
    expect(result).toMatchObject({ bankTokens: size, readTokens: 100 });
    expect(result.penalty).toBeCloseTo(penalty, 12);
  });

  it("is free where the bank is empty, and where nothing was read", () => {
    expect(computeBankSize(bankOf(), told, options).penalty).toBe(0);
    expect(computeBankSize(bankOf("x"), [], options)).toEqual({
      bankTokens: 1,
      readTokens: 0,
      penalty: 0,
    });
  });
});
