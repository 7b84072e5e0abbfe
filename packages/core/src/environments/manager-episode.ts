import type {
  Conversation,
  Episode,
  ExtractedFact,
  GeneratedText,
  MemoryOperationKind,
} from "@memory-r1/spec";
import { applyOperations } from "../bank/apply-operations.ts";
import { createMemoryBank, type MemoryBank } from "../bank/memory-bank.ts";
import type { ManagerPrompt, MemoryManager } from "../manager/memory-manager.ts";

/** A fact with the date of the session in which it was said. */
export interface DatedFact {
  readonly fact: ExtractedFact;
  readonly date: string;
}

/** All facts of a conversation in the order in which they were said. */
export function datedFacts(conversation: Conversation): DatedFact[] {
  return conversation.sessions.flatMap((session) =>
    session.facts.map((fact) => ({ fact, date: session.dateText })),
  );
}

/** The bank that keeps every fact as it is: the start state of tasks and the strong baseline of every table. */
export function bankOfFacts(facts: readonly DatedFact[], actor: string): MemoryBank {
  const bank = createMemoryBank();
  for (const { fact, date } of facts) {
    bank.apply(
      { kind: "ADD", text: fact.text },
      { actor, participant: fact.participant, sourceTurnIds: fact.sourceTurnIds, date },
    );
  }
  return bank;
}

/** Where an episode starts, and the facts that it decides on in turn. */
export interface EpisodeStart {
  /** Left as it is: the episode goes its own way from here. */
  readonly bank: MemoryBank;
  readonly facts: readonly DatedFact[];
}

/** A Manager at work on a bank: one prompt a fact, and what its replies have come to so far. */
export interface ManagerEpisode<Start extends EpisodeStart = EpisodeStart> extends Episode {
  readonly start: Start;
  /** Undefined when every fact has been decided on. */
  nextPrompt(): Promise<ManagerPrompt | undefined>;
  bank(): MemoryBank;
  /** The bank as it was before the fact at a position was decided on, from 0; undefined: not come to yet. A copy. */
  bankBefore(position: number): MemoryBank | undefined;
  /** Operations that were applied. */
  operationCounts(): Readonly<Record<MemoryOperationKind, number>>;
  /** Replies that made no sense. They change nothing. */
  unparsableCount(): number;
  /** Operations that the bank could not take, such as a second DELETE of one memory. */
  rejectedCount(): number;
}

/** One fact after the other, each applied to the bank before the next one's prompt is made. */
export function startManagerEpisode<Start extends EpisodeStart>(
  manager: MemoryManager,
  start: Start,
): ManagerEpisode<Start> {
  const bank = start.bank.fork();
  const before: MemoryBank[] = [];
  const counts: Record<MemoryOperationKind, number> = { ADD: 0, UPDATE: 0, DELETE: 0, NOOP: 0 };
  let unparsable = 0;
  let rejected = 0;
  let position = 0;
  let prompt: ManagerPrompt | undefined;
  return {
    start,
    bank: () => bank,
    bankBefore: (at) => before[at]?.fork(),
    operationCounts: () => counts,
    unparsableCount: () => unparsable,
    rejectedCount: () => rejected,
    nextPrompt: async () => {
      const next = start.facts[position];
      if (next === undefined) return undefined;
      before[position] ??= bank.fork();
      prompt = await manager.prompt({ bank, fact: next.fact, date: next.date });
      return prompt;
    },
    act: (completion: GeneratedText) => {
      const decided = start.facts[position];
      position += 1;
      if (prompt === undefined || decided === undefined) return Promise.resolve();
      const parsed = manager.parse(completion.text, prompt.shown);
      if (parsed.status === "unparsable") {
        unparsable += 1;
        return Promise.resolve();
      }
      const result = applyOperations(bank, parsed.operations, {
        actor: manager.name,
        participant: decided.fact.participant,
        sourceTurnIds: decided.fact.sourceTurnIds,
        date: decided.date,
      });
      for (const record of result.applied) counts[record.operation.kind] += 1;
      rejected += result.rejected.length;
      return Promise.resolve();
    },
  };
}
