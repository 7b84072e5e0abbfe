import type { MemoryBank } from "../bank/memory-bank.ts";
import { createMemoryBank } from "../bank/memory-bank.ts";
import { ConfigError } from "@memory-r1/spec";
import { applyTimed, wallTimeSchema } from "./batch.ts";
import type { MemoryStore } from "./memory-store.ts";

/**
 * A point of a bank's life: after its first `version` operations, or at a wall time (`2024-05-01T09:30:00.000Z`): before
 * the first operation that is later. Where writers' clocks disagree, what follows such an operation is left out, too:
 * operations build on those before them.
 */
export type BankPoint = { readonly version: number } | { readonly time: string };

/** The bank as it was at a point, replayed from its journal; its own journal is whole. Default: as it is now. */
export async function replayBank(
  store: MemoryStore,
  bankId: string,
  point: BankPoint = { version: Number.MAX_SAFE_INTEGER },
): Promise<MemoryBank> {
  if ("time" in point && !wallTimeSchema.safeParse(point.time).success) {
    throw new ConfigError(
      `The time ${JSON.stringify(point.time)} is not UTC with milliseconds. Write it as new Date().toISOString() does.`,
    );
  }
  const bank = createMemoryBank();
  const range = "version" in point ? { to: point.version } : {};
  for await (const record of store.journal(bankId, range)) {
    if ("time" in point && record.at > point.time) break;
    applyTimed(bank, record);
  }
  return bank;
}
