import {
  type ContextItem,
  type MemoryEntry,
  memoryOperationKinds,
  type MemoryOperationKind,
  type MemorySession,
  type MemorySystem,
  ModelCallError,
  type SystemCounts,
} from "@memory-r1/spec";
import { applyOperations } from "../bank/apply-operations.ts";
import { createMemoryBank, type MemoryBank } from "../bank/memory-bank.ts";
import type { ManagerAgent } from "../manager/manager-agent.ts";
import type { Retriever } from "../retrieval/retriever.ts";
import { type MemorySelection, topMemories } from "../retrieval/top-memories.ts";

/** What a Manager did in a conversation so far. A fact is one decision; a decision can hold several operations. */
export interface ManagerCounts extends SystemCounts {
  readonly facts: number;
  /** Replies that were no valid JSON and were mended; they are among the decided ones. */
  readonly repaired: number;
  readonly operations: Readonly<Record<MemoryOperationKind, number>>;
}

/** A conversation's memory, open to inspection. */
export interface MemoryR1Session extends MemorySession {
  bank(): MemoryBank;
  counts(): ManagerCounts;
}

export interface MemoryR1System extends MemorySystem {
  open: (...parameters: Parameters<MemorySystem["open"]>) => Promise<MemoryR1Session>;
}

export interface MemoryR1SystemOptions {
  readonly agent: ManagerAgent;
  readonly retriever: Retriever;
  readonly selection: MemorySelection;
}

/**
 * Memory-R1 without its Answer Agent: every fact of a turn goes through the Manager into the bank (paper, Algorithm 3),
 * and a question gets the top memories (Algorithm 4). With `addEverythingManager` it is the strong baseline.
 * ingest throws ModelCallError where the Manager's model gave no reply: a fact is never dropped for want of a server.
 * Facts before it may have been applied, so start again from a fresh session or from a replayed journal.
 */
export function createMemoryR1System(options: MemoryR1SystemOptions): MemoryR1System {
  return {
    name: `memory-r1/${options.agent.name}`,
    open: ({ participants }) => Promise.resolve(openSession(options, participants)),
  };
}

function openSession(
  { agent, retriever, selection }: MemoryR1SystemOptions,
  participants: readonly string[],
): MemoryR1Session {
  const bank = createMemoryBank();
  const operations: Record<MemoryOperationKind, number> = { ADD: 0, UPDATE: 0, DELETE: 0, NOOP: 0 };
  let facts = 0;
  let unparsable = 0;
  let rejected = 0;
  let repaired = 0;
  return {
    bank: () => bank,
    counts: () => ({ facts, operations: { ...operations }, unparsable, rejected, repaired }),
    ingest: async (turn, session, turnFacts) => {
      for (const fact of turnFacts) {
        const decision = await agent.decide({ bank, fact, date: session.dateText });
        if (decision.status === "failed") {
          throw new ModelCallError(
            `${agent.name} gave no decision on fact ${fact.id} of turn ${turn.id}: ${decision.reason}. Resume the run when the model answers again.`,
            { retryable: true },
          );
        }
        facts += 1;
        if (decision.status === "unparsable") {
          unparsable += 1;
          continue;
        }
        if (decision.repaired === true) repaired += 1;
        const result = applyOperations(bank, decision.operations, {
          actor: agent.name,
          participant: fact.participant,
          sourceTurnIds: fact.sourceTurnIds,
          date: session.dateText,
        });
        rejected += result.rejected.length;
        for (const kind of memoryOperationKinds) {
          operations[kind] += result.applied.filter(
            ({ operation }) => operation.kind === kind,
          ).length;
        }
      }
    },
    context: async (question) =>
      (await topMemories(retriever, question.text, bank.entries(), selection, participants)).map(
        toContextItem,
      ),
    stored: () => Promise.resolve(bank.entries().map(toContextItem)),
  };
}

function toContextItem({ text, updatedAt, sourceTurnIds }: MemoryEntry): ContextItem {
  return { text, date: updatedAt, sourceTurnIds };
}
