import type { MemoryBank } from "../bank/memory-bank.ts";

/**
 * What a reader can see of a bank, as a key: texts, participants and dates of its memories in their order. Banks with
 * equal keys are answered alike, whatever their ids and journals say.
 */
export function bankContentKey(bank: MemoryBank): string {
  return JSON.stringify(
    bank.entries().map(({ text, participant, updatedAt }) => [text, participant, updatedAt]),
  );
}
