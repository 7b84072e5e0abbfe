import { createMemoryBank, type MemoryBank } from "@memory-r1/core";
import {
  type ContextItem,
  type MemoryEntry,
  MemoryOperationError,
  type MemorySession,
  type MemorySystem,
  type OpenedConversation,
  type SystemCounts,
} from "@memory-r1/spec";
import { askModel } from "../shared/ask-model.ts";
import {
  createSpeakerBatches,
  describeBatch,
  type SpeakerBatch,
} from "../shared/speaker-batches.ts";
import { createSystemPrompts } from "../shared/system-prompts.ts";
import type { SystemOptions } from "../system-options.ts";
import {
  factsConstraint,
  type NumberedOperation,
  parseFacts,
  parseUpdate,
  updateConstraint,
} from "./mem0-replies.ts";

/** Memories that are searched for each fact. The paper says 10; its open-source code of that time says 5. */
const memoriesPerFact = 5;

const prompts = createSystemPrompts(["mem0-extraction", "mem0-update"]);

/**
 * Mem0 as published in 2025, with a Memory Manager that adds, updates and deletes: facts are extracted from batches of two
 * messages, the five nearest memories of each fact are shown under small numbers, and the model says what each becomes.
 * Each speaker has a memory of their own, written from their own messages; a question searches all of them.
 * Source: mem0ai/mem0 at ad98f542f (open source) and its evaluation of LoCoMo. Departures: docs/systems.md.
 */
export function createMem0System(options: SystemOptions): MemorySystem {
  return {
    name: "mem0",
    open: (conversation) => Promise.resolve(openSession(options, conversation)),
  };
}

function openSession(options: SystemOptions, { participants }: OpenedConversation): MemorySession {
  const memories = new Map<string, MemoryBank>();
  for (const speaker of participants) memories.set(speaker, createMemoryBank());
  const counter = createCounter();
  const batches = createSpeakerBatches(participants, async (batch) => {
    const bank = memories.get(batch.speaker) ?? createMemoryBank();
    memories.set(batch.speaker, bank);
    await addBatch(options, { bank, batch, counter });
  });

  const entries = (): readonly MemoryEntry[] =>
    [...memories.values()].flatMap((bank) => bank.entries());

  return {
    ingest: (turn, session) => batches.tell(turn, session),
    context: async ({ text }) => {
      // As many of each speaker, then in one order of relevance: the answer prompt takes one list.
      const share = Math.ceil(options.count / Math.max(1, memories.size));
      const found: MemoryEntry[] = [];
      for (const bank of memories.values()) {
        found.push(...(await options.retriever.rank(text, bank.entries(), share)));
      }
      return (await options.retriever.rank(text, found, options.count)).map(toContextItem);
    },
    stored: () => Promise.resolve(entries().map(toContextItem)),
    counts: counter.counts,
  };
}

/** One `add` of Mem0 for one user id. */
async function addBatch(
  options: SystemOptions,
  given: { readonly bank: MemoryBank; readonly batch: SpeakerBatch; readonly counter: Counter },
): Promise<void> {
  const { bank, batch, counter } = given;
  const { speaker, session, messages } = batch;
  const own = messages.filter(({ role }) => role === "user");
  const sourceTurnIds = own.map(({ turnId }) => turnId);
  const where = describeBatch(batch);

  const extraction = await askModel(options, {
    purpose: `mem0, extraction ${where}`,
    messages: prompts.render("mem0-extraction", {
      speaker,
      date: session.dateText,
      messages: messages.map(({ role, text }) => `${role}: ${text}`).join("\n"),
    }),
    constraint: factsConstraint(),
  });
  const extracted = parseFacts(extraction.text);
  if (extracted.status === "unparsable") {
    counter.unparsable();
    return;
  }
  counter.rejected(extracted.rejected);
  if (extracted.facts.length === 0) return;

  const shown = await nearestMemories(options, bank, extracted.facts);
  const update = await askModel(options, {
    purpose: `mem0, update ${where}`,
    messages: prompts.render("mem0-update", {
      memories: JSON.stringify(shown.map(({ text }, index) => ({ id: String(index), text }))),
      facts: JSON.stringify(extracted.facts),
    }),
    constraint: updateConstraint(shown.length, extracted.facts.length),
  });
  const decided = parseUpdate(update.text);
  if (decided.status === "unparsable") {
    counter.unparsable();
    return;
  }
  counter.rejected(decided.rejected);
  const source = {
    actor: "mem0",
    participant: speaker,
    sourceTurnIds,
    date: session.dateText,
  };
  for (const numbered of decided.operations) {
    const operation = onShownMemory(numbered, shown);
    if (operation === undefined) {
      counter.rejected(1);
      continue;
    }
    try {
      bank.apply(operation, source);
      counter.applied(operation.kind === "NOOP" ? "NONE" : operation.kind);
    } catch (error) {
      // A memory that the same reply has deleted before: the other operations stand, as in the original.
      if (!(error instanceof MemoryOperationError)) throw error;
      counter.rejected(1);
    }
  }
}

/** The five nearest memories of every fact, each once, in the order in which they were found. */
async function nearestMemories(
  { retriever }: SystemOptions,
  bank: MemoryBank,
  facts: readonly string[],
): Promise<readonly MemoryEntry[]> {
  const found = new Map<string, MemoryEntry>();
  for (const fact of facts) {
    for (const entry of await retriever.rank(fact, bank.entries(), memoriesPerFact)) {
      found.set(entry.id, entry);
    }
  }
  return [...found.values()];
}

/** The operation on the memory that its number stands for; undefined where no such number was shown. */
function onShownMemory(
  operation: NumberedOperation,
  shown: readonly MemoryEntry[],
): NumberedOperation | undefined {
  if (!("id" in operation)) return operation;
  const entry = /^\d+$/.test(operation.id) ? shown[Number(operation.id)] : undefined;
  return entry === undefined ? undefined : { ...operation, id: entry.id };
}

interface Counter {
  applied(event: string): void;
  unparsable(): void;
  rejected(count: number): void;
  readonly counts: () => SystemCounts;
}

function createCounter(): Counter {
  const operations = new Map(["ADD", "UPDATE", "DELETE", "NONE"].map((event) => [event, 0]));
  let unparsable = 0;
  let rejected = 0;
  return {
    applied: (event) => {
      operations.set(event, (operations.get(event) ?? 0) + 1);
    },
    unparsable: () => {
      unparsable += 1;
    },
    rejected: (count) => {
      rejected += count;
    },
    counts: () => ({ operations: Object.fromEntries(operations), unparsable, rejected }),
  };
}

function toContextItem({ text, updatedAt, sourceTurnIds }: MemoryEntry): ContextItem {
  return { text, date: updatedAt, sourceTurnIds };
}
