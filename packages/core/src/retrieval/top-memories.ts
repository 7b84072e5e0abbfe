import type { MemoryEntry } from "@memory-r1/spec";
import type { Retriever } from "./retriever.ts";

/** How many memories a question gets: the best of the bank, or the best of each participant's. */
export type MemorySelection =
  | { readonly mode: "overall"; readonly count: number }
  | { readonly mode: "perParticipant"; readonly count: number };

/** The paper's choice: 30 memories for each of the two participants, 60 in all (section 3.2). */
export const paperMemorySelection = {
  mode: "perParticipant",
  count: 30,
} as const satisfies MemorySelection;

/**
 * The memories for a query, best first. Per participant: the best of each, participants in the order in which the bank
 * first names them.
 */
export async function topMemories(
  retriever: Retriever,
  query: string,
  entries: readonly MemoryEntry[],
  selection: MemorySelection,
): Promise<readonly MemoryEntry[]> {
  switch (selection.mode) {
    case "overall":
      return retriever.rank(query, entries, selection.count);
    case "perParticipant": {
      const groups = [...new Set(entries.map((entry) => entry.participant))].map((participant) =>
        entries.filter((entry) => entry.participant === participant),
      );
      const best = await Promise.all(
        groups.map((group) => retriever.rank(query, group, selection.count)),
      );
      return best.flat();
    }
  }
}

/** Those of `all` that were chosen, in the order of `all`: bank order, which is the order of the conversation. */
export function inBankOrder<Item>(chosen: readonly Item[], all: readonly Item[]): readonly Item[] {
  const wanted = new Set(chosen);
  return all.filter((item) => wanted.has(item));
}
