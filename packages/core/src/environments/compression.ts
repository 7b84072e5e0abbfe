import type { MemoryBank } from "../bank/memory-bank.ts";
import type { DatedFact } from "./manager-episode.ts";

/** What a bank costs in the reward beyond a size that is free. */
export interface CompressionOptions {
  /** Reward per share of the tokens read by which the bank exceeds the free zone. Memory-R2: 0.2, of 32 sessions 0.3. */
  readonly weight: number;
  /** Share of the tokens read that a bank may hold for nothing. Memory-R2: 0.7. */
  readonly freeShare: number;
  readonly countTokens: (text: string) => number;
}

/** A bank's size beside what its Manager was told, in tokens. */
export interface BankSize {
  readonly bankTokens: number;
  readonly readTokens: number;
  /** What the reward loses: weight * max(0, bank - freeShare * read) / read. */
  readonly penalty: number;
}

/**
 * The compression term with its free zone, for the tokens of the memories' texts and of the facts that were told. The
 * reward is not floored, so that a bank without a right answer in it still learns to be small.
 *
 * Source: Memory-R2 (arXiv 2605.21768), `workers/reward_manager/rema.py` at 357b4ec. Departs: its agents read the turns
 * of a session, so these are what it counts; a Manager of Memory-R1 reads facts.
 */
export function computeBankSize(
  bank: MemoryBank,
  told: readonly DatedFact[],
  { weight, freeShare, countTokens }: CompressionOptions,
): BankSize {
  const bankTokens = sumOf(bank.entries(), ({ text }) => countTokens(text));
  const readTokens = sumOf(told, ({ fact }) => countTokens(fact.text));
  const excess = readTokens === 0 ? 0 : Math.max(0, bankTokens - freeShare * readTokens);
  return { bankTokens, readTokens, penalty: excess === 0 ? 0 : (weight * excess) / readTokens };
}

function sumOf<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((sum, item) => sum + value(item), 0);
}
