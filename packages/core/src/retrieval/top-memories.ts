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
 * The memories for a query, best first. Per participant: the best of each, one participant after the other, at most
 * `count` × participants in all.
 *
 * A memory is a participant's whose name it has, letter by letter; else the one's whose name differs by case, width or
 * surrounding blanks only, if that is one participant. A memory of nobody's (another name, or none) may concern anyone:
 * it competes with each participant's own, and is returned once.
 * @param participants of the conversation, in its order. Without them: those whom the bank names, in the order in which
 * it first does, one for all spellings of a name; then only a memory without a name is nobody's.
 */
export async function topMemories(
  retriever: Retriever,
  query: string,
  entries: readonly MemoryEntry[],
  selection: MemorySelection,
  participants: readonly string[] = namesIn(entries),
): Promise<readonly MemoryEntry[]> {
  switch (selection.mode) {
    case "overall":
      return retriever.rank(query, entries, selection.count);
    case "perParticipant": {
      const distinct = [...new Set(participants)];
      if (distinct.length === 0) return retriever.rank(query, entries, selection.count);
      const ownerOf = createOwnerLookup(distinct);
      const owners = entries.map((entry) => ownerOf(entry.participant));
      const best = new Set<MemoryEntry>();
      for (const participant of distinct) {
        const candidates = entries.filter(
          (entry, position) =>
            owners[position] === participant ||
            (owners[position] === undefined && !best.has(entry)),
        );
        const ranked = await retriever.rank(query, candidates, selection.count);
        for (const entry of ranked) best.add(entry);
      }
      return [...best];
    }
  }
}

/** The first spelling of each name. */
function namesIn(entries: readonly MemoryEntry[]): readonly string[] {
  const spellings = new Map<string, string>();
  for (const { participant } of entries) {
    const key = foldName(participant);
    if (key !== "" && !spellings.has(key)) spellings.set(key, participant);
  }
  return [...spellings.values()];
}

/** Whose a memory is by its participant's name; undefined: nobody's. */
function createOwnerLookup(participants: readonly string[]): (name: string) => string | undefined {
  const exact = new Set(participants);
  const owners = new Map<string, string | undefined>();
  return (name) => {
    if (exact.has(name)) return name;
    if (!owners.has(name)) {
      const alike = participants.filter((participant) => foldName(participant) === foldName(name));
      owners.set(name, alike.length === 1 ? alike[0] : undefined);
    }
    return owners.get(name);
  };
}

function foldName(name: string): string {
  return name.normalize("NFKC").trim().toLowerCase();
}

/** Those of `all` that were chosen, in the order of `all`: bank order, which is the order of the conversation. */
export function inBankOrder<Item>(chosen: readonly Item[], all: readonly Item[]): readonly Item[] {
  const wanted = new Set(chosen);
  return all.filter((item) => wanted.has(item));
}
