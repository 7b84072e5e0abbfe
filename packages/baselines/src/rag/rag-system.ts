import { type Retriever, turnText } from "@memory-r1/core";
import type { ContextItem, ExtractedFact, MemorySystem, ToldSession, Turn } from "@memory-r1/spec";

/**
 * What is stored and retrieved: every turn, every fact that the extraction step drew from it, or the data set's summary of
 * every session, once it has ended.
 */
export type RagUnit = "turn" | "observation" | "session";

export interface RagOptions {
  readonly retriever: Retriever;
  /** Most units for a question. */
  readonly count: number;
  readonly unit: RagUnit;
}

/** The turns of the session that is being told. */
interface SessionSoFar {
  readonly id: string;
  readonly turnIds: readonly string[];
}

/**
 * Retrieval over what was said, with no memory management: each unit is kept as it is, and a question gets the best.
 * Units as in LoCoMo's own baseline (task_eval of snap-research/locomo): a turn with its speaker and picture caption, an
 * observation, or a session's summary. Departures: docs/systems.md.
 */
export function createRagSystem({ retriever, count, unit }: RagOptions): MemorySystem {
  return {
    name: `rag-${unit}s`,
    open: () => {
      const items: ContextItem[] = [];
      let current: SessionSoFar = { id: "", turnIds: [] };
      return Promise.resolve({
        ingest: (turn, session, facts) => {
          const before = current.id === session.id ? current.turnIds : [];
          current = { id: session.id, turnIds: [...before, turn.id] };
          items.push(...unitsOf(unit, { turn, session, facts, turnIds: current.turnIds }));
          return Promise.resolve();
        },
        context: (question) => retriever.rank(question.text, items, count),
        stored: () => Promise.resolve([...items]),
        counts: () => ({ operations: { store: items.length }, unparsable: 0, rejected: 0 }),
      });
    },
  };
}

interface Told {
  readonly turn: Turn;
  readonly session: ToldSession;
  readonly facts: readonly ExtractedFact[];
  /** The session's turns so far. */
  readonly turnIds: readonly string[];
}

function unitsOf(unit: RagUnit, { turn, session, facts, turnIds }: Told): readonly ContextItem[] {
  const date = session.dateText;
  switch (unit) {
    case "turn":
      return [{ text: turnText(turn), date, sourceTurnIds: [turn.id] }];
    case "observation":
      return facts.map(({ text, sourceTurnIds }) => ({ text, date, sourceTurnIds }));
    case "session": {
      const summary = session.ended?.summary;
      return summary === undefined ? [] : [{ text: summary, date, sourceTurnIds: turnIds }];
    }
  }
}
