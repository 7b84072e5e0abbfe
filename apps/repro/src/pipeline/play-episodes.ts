import {
  applyOperations,
  createMemoryBank,
  datedFacts,
  type DatedFact,
  type ManagerPrompt,
  type MemoryBank,
  type MemoryManager,
} from "@memory-r1/core";
import {
  type Conversation,
  deriveSeed,
  type GenerateRequest,
  type GenerateResult,
  type MemoryOperationKind,
  memoryOperationKinds,
  ModelCallError,
  type TextGenerator,
} from "@memory-r1/spec";
import { z } from "zod";
import type { ProgressTask } from "../run-context.ts";
import { jsonLines } from "./json-lines.ts";

/** One conversation played by one Manager, from the empty bank on. */
export interface Lane {
  readonly key: string;
  readonly manager: MemoryManager;
  readonly conversation: Conversation;
  /** Facts to play; absent: all of the conversation. */
  readonly facts?: readonly DatedFact[];
}

const decisionSchema = z.strictObject({
  round: z.number(),
  lane: z.string(),
  factId: z.string(),
  reply: z.string(),
});
type Decision = z.infer<typeof decisionSchema>;

/** What a whole episode came to. */
export interface PlayedEpisode {
  readonly bank: MemoryBank;
  readonly operations: Readonly<Record<MemoryOperationKind, number>>;
  readonly unparsable: number;
  readonly rejected: number;
  readonly facts: readonly DatedFact[];
}

/**
 * Plays whole episodes in lock-step: round r decides the r-th fact of every lane in one batch. Replies are appended
 * to `file` round by round; on a second call those that are there are replayed instead of asked again, and since a
 * round is always one batch of the same lanes, a resumed episode is the same to the byte.
 */
export async function playEpisodes(options: {
  readonly lanes: readonly Lane[];
  readonly generator: TextGenerator;
  readonly maxTokens: number;
  readonly seed: number;
  /** 0 plays greedily. */
  readonly temperature: number;
  /** Where the replies are kept; absent: nowhere (a validation inside training). */
  readonly file: string | undefined;
  readonly progress: ProgressTask;
  readonly signal: AbortSignal;
}): Promise<ReadonlyMap<string, PlayedEpisode>> {
  const states = options.lanes.map(startLane);
  const log = options.file === undefined ? undefined : jsonLines(options.file, decisionSchema);
  const kept = byRound(log === undefined ? [] : await log.read());
  const complete: Decision[] = [];
  for (let round = 0; ; round++) {
    const active = states.filter((state) => round < state.facts.length);
    if (active.length === 0) break;
    options.signal.throwIfAborted();
    const prompts = await Promise.all(active.map((state) => promptOf(state, round)));
    const earlier = kept.get(round) ?? new Map<string, Decision>();
    let decisions: Decision[];
    if (active.every((state) => earlier.has(state.lane.key))) {
      decisions = active.flatMap((state) => earlier.get(state.lane.key) ?? []);
    } else {
      if (earlier.size > 0) await log?.keep(complete);
      const replies = await options.generator.generate(
        prompts.map((prompt, index): GenerateRequest => {
          const key = active[index]?.lane.key ?? "";
          return {
            messages: prompt.messages,
            maxTokens: options.maxTokens,
            temperature: options.temperature,
            seed: deriveSeed(options.seed, "episode", key, round),
            ...(prompt.constraint === undefined ? {} : { constraint: prompt.constraint }),
          };
        }),
      );
      decisions = active.map((state, index) => ({
        round,
        lane: state.lane.key,
        factId: state.facts[round]?.fact.id ?? "",
        reply: replyText(replies[index], state.lane.key, round),
      }));
      await log?.append(decisions);
    }
    complete.push(...decisions);
    active.forEach((state, index) => decide(state, round, prompts[index], decisions[index]));
    options.progress.advance(active.length);
  }
  return new Map(states.map((state) => [state.lane.key, state]));
}

/** The number of decisions that the lanes hold, for a progress bar. */
export function countDecisions(lanes: readonly Lane[]): number {
  return lanes.reduce((sum, lane) => sum + (lane.facts ?? datedFacts(lane.conversation)).length, 0);
}

interface LaneState {
  readonly lane: Lane;
  readonly facts: readonly DatedFact[];
  readonly bank: MemoryBank;
  readonly operations: Record<MemoryOperationKind, number>;
  unparsable: number;
  rejected: number;
}

function startLane(lane: Lane): LaneState {
  return {
    lane,
    facts: lane.facts ?? datedFacts(lane.conversation),
    bank: createMemoryBank(),
    operations: { ADD: 0, UPDATE: 0, DELETE: 0, NOOP: 0 },
    unparsable: 0,
    rejected: 0,
  };
}

function byRound(decisions: readonly Decision[]): Map<number, Map<string, Decision>> {
  const rounds = new Map<number, Map<string, Decision>>();
  for (const decision of decisions) {
    const lanes = rounds.get(decision.round) ?? new Map<string, Decision>();
    lanes.set(decision.lane, decision);
    rounds.set(decision.round, lanes);
  }
  return rounds;
}

async function promptOf(state: LaneState, round: number): Promise<ManagerPrompt> {
  const next = state.facts[round];
  if (next === undefined) throw new RangeError(`lane ${state.lane.key} has no fact ${round}`);
  return state.lane.manager.prompt({ bank: state.bank, fact: next.fact, date: next.date });
}

/** A reply that never came would leave a hole in a bank that every later answer stands on: the run stops instead. */
function replyText(result: GenerateResult | undefined, lane: string, round: number): string {
  if (result?.status === "completed") {
    const text = result.completions[0]?.text;
    if (text !== undefined) return text;
  }
  const reason = result?.status === "failed" ? result.reason : "no completion";
  throw new ModelCallError(`Memory Manager, ${lane}, fact ${round}: ${reason}`, { retryable: true });
}

function decide(
  state: LaneState,
  round: number,
  prompt: ManagerPrompt | undefined,
  decision: Decision | undefined,
): void {
  const next = state.facts[round];
  if (prompt === undefined || decision === undefined || next === undefined) return;
  const parsed = state.lane.manager.parse(decision.reply, prompt.shown);
  if (parsed.status === "unparsable") {
    state.unparsable += 1;
    return;
  }
  const result = applyOperations(state.bank, parsed.operations, {
    actor: state.lane.manager.name,
    participant: next.fact.participant,
    sourceTurnIds: next.fact.sourceTurnIds,
    date: next.date,
  });
  for (const record of result.applied) state.operations[record.operation.kind] += 1;
  state.rejected += result.rejected.length;
}

/** Operations by kind as metrics for a log. */
export function operationMetrics(episode: PlayedEpisode): Record<string, number> {
  const metrics: Record<string, number> = {
    bankSize: episode.bank.size(),
    unparsable: episode.unparsable,
    rejected: episode.rejected,
  };
  for (const kind of memoryOperationKinds) metrics[`operations/${kind}`] = episode.operations[kind];
  return metrics;
}
