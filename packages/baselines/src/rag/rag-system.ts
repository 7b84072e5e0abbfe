import { type Retriever, turnText } from "@memory-r1/core";
import type { ContextItem, ExtractedFact, MemorySystem, Turn } from "@memory-r1/spec";

/** What is stored and retrieved: every turn, or every fact that the extraction step drew from it. */
export type RagUnit = "turn" | "observation";

export interface RagOptions {
  readonly retriever: Retriever;
  /** Most units for a question. */
  readonly count: number;
  readonly unit: RagUnit;
}

/**
 * Retrieval over what was said, with no memory management: each unit is kept as it is, and a question gets the best.
 * Units as in LoCoMo's own baseline (task_eval of snap-research/locomo): a turn with its speaker and picture caption,
 * or an observation. Departs from it: retriever and count are the comparison's, the date stays beside the text.
 */
export function createRagSystem({ retriever, count, unit }: RagOptions): MemorySystem {
  return {
    name: `rag-${unit}s`,
    open: () => {
      const items: ContextItem[] = [];
      return Promise.resolve({
        ingest: (turn, session, facts) => {
          items.push(...unitsOf(unit, turn, session.dateText, facts));
          return Promise.resolve();
        },
        context: (question) => retriever.rank(question.text, items, count),
        stored: () => Promise.resolve([...items]),
        counts: () => ({ operations: { store: items.length }, unparsable: 0, rejected: 0 }),
      });
    },
  };
}

function unitsOf(
  unit: RagUnit,
  turn: Turn,
  date: string,
  facts: readonly ExtractedFact[],
): readonly ContextItem[] {
  switch (unit) {
    case "turn":
      return [{ text: turnText(turn), date, sourceTurnIds: [turn.id] }];
    case "observation":
      return facts.map(({ text, sourceTurnIds }) => ({ text, date, sourceTurnIds }));
  }
}
