import {
  createMemoryBank,
  datedFacts,
  type DatedFact,
  type ManagerEpisode,
  type ManagerPrompt,
  type MemoryBank,
  type MemoryManager,
  startManagerEpisode,
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
import { addUsage, type ModelUsage, noUsage } from "./systems/model-usage.ts";
import type { CountReplyTokens } from "./systems/token-counter.ts";

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
  /** What its decisions cost; absent where no model decided, or nobody counted. */
  readonly usage?: ModelUsage;
}

export interface PlayOptions {
  readonly lanes: readonly Lane[];
  readonly generator: TextGenerator;
  readonly maxTokens: number;
  readonly seed: number;
  /** 0 plays greedily. */
  readonly temperature: number;
  /** Absent: what the decisions cost is not counted (a validation inside training). */
  readonly countTokens?: CountReplyTokens;
  /** Where the replies are kept; absent: nowhere (a validation inside training). */
  readonly file: string | undefined;
  readonly progress: ProgressTask;
  readonly signal: AbortSignal;
}

/**
 * Plays whole episodes in lock-step: round r decides the r-th fact of every lane in one batch. Replies are appended
 * to `file` round by round; on a second call those that are there are replayed instead of asked again, and since a
 * round is always one batch of the same lanes, a resumed episode is the same to the byte.
 * @returns lane key to what it came to
 * @throws ModelCallError where a reply does not come: the run stops and can be resumed
 */
export async function playEpisodes(
  options: PlayOptions,
): Promise<ReadonlyMap<string, PlayedEpisode>> {
  const states = options.lanes.map(startLane);
  const log = options.file === undefined ? undefined : jsonLines(options.file, decisionSchema);
  const kept = byRound(log === undefined ? [] : await log.read());
  const complete: Decision[] = [];
  let isReplaying = true;
  for (let round = 0; ; round++) {
    const active = states.filter((state) => round < state.facts.length);
    if (active.length === 0) break;
    options.signal.throwIfAborted();
    const turns = await Promise.all(active.map((state) => promptOf(state, round)));
    let decisions = isReplaying ? wholeRound(turns, kept.get(round)) : undefined;
    if (decisions === undefined) {
      // From here on the file is written: what a killed run left of this round goes first.
      if (isReplaying) await log?.keep(complete);
      isReplaying = false;
      decisions = await askRound(options, round, turns);
      await log?.append(decisions);
    }
    complete.push(...decisions);
    countUsage(options, turns, decisions);
    await Promise.all(
      turns.map(({ state }, index) =>
        state.episode.act({ text: decisions[index]?.reply ?? "", stopReason: "stop" }),
      ),
    );
    options.progress.advance(active.length);
  }
  const isCounted = options.countTokens !== undefined;
  return new Map(states.map((state) => [state.lane.key, toPlayed(state, isCounted)]));
}

/** The number of decisions that the lanes hold, for a progress bar. */
export function countDecisions(lanes: readonly Lane[]): number {
  return lanes.reduce((sum, lane) => sum + factsOf(lane).length, 0);
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

interface LaneState {
  readonly lane: Lane;
  readonly facts: readonly DatedFact[];
  readonly episode: ManagerEpisode;
  usage: ModelUsage;
}

/** A lane that has a fact to decide on in this round. */
interface LaneTurn {
  readonly state: LaneState;
  readonly factId: string;
  readonly prompt: ManagerPrompt;
}

function factsOf(lane: Lane): readonly DatedFact[] {
  return lane.facts ?? datedFacts(lane.conversation);
}

function startLane(lane: Lane): LaneState {
  const facts = factsOf(lane);
  return {
    lane,
    facts,
    episode: startManagerEpisode(lane.manager, { bank: createMemoryBank(), facts }),
    usage: noUsage,
  };
}

async function promptOf(state: LaneState, round: number): Promise<LaneTurn> {
  const prompt = await state.episode.nextPrompt();
  const factId = state.facts[round]?.fact.id;
  if (prompt === undefined || factId === undefined) {
    throw new RangeError(`lane ${state.lane.key} has no fact ${round}`);
  }
  return { state, factId, prompt };
}

/** Round to lane key to decision. */
function byRound(decisions: readonly Decision[]): Map<number, Map<string, Decision>> {
  const rounds = new Map<number, Map<string, Decision>>();
  for (const decision of decisions) {
    const lanes = rounds.get(decision.round) ?? new Map<string, Decision>();
    lanes.set(decision.lane, decision);
    rounds.set(decision.round, lanes);
  }
  return rounds;
}

/** The kept decisions of a round in the order of its turns; undefined where one is missing. */
function wholeRound(
  turns: readonly LaneTurn[],
  kept: ReadonlyMap<string, Decision> | undefined,
): Decision[] | undefined {
  const decisions = turns.flatMap(({ state }) => kept?.get(state.lane.key) ?? []);
  return decisions.length === turns.length ? decisions : undefined;
}

async function askRound(
  options: PlayOptions,
  round: number,
  turns: readonly LaneTurn[],
): Promise<Decision[]> {
  const replies = await options.generator.generate(
    turns.map(({ state, prompt }): GenerateRequest => ({
      messages: prompt.messages,
      maxTokens: options.maxTokens,
      temperature: options.temperature,
      seed: deriveSeed(options.seed, "episode", state.lane.key, round),
      ...(prompt.constraint === undefined ? {} : { constraint: prompt.constraint }),
    })),
  );
  return turns.map(({ state, factId }, index) => ({
    round,
    lane: state.lane.key,
    factId,
    reply: replyText(replies[index], state.lane.key, round),
  }));
}

/** From prompts and replies and not from what was asked just now, so that a resumed run counts the same. */
function countUsage(
  { countTokens }: PlayOptions,
  turns: readonly LaneTurn[],
  decisions: readonly Decision[],
): void {
  if (countTokens === undefined) return;
  for (const [index, { state, prompt }] of turns.entries()) {
    const tokens = countTokens(prompt, [decisions[index]?.reply ?? ""]);
    state.usage = addUsage(state.usage, { calls: 1, ...tokens });
  }
}

/** A reply that never came would leave a hole in a bank that every later answer stands on: the run stops instead. */
function replyText(result: GenerateResult | undefined, lane: string, round: number): string {
  if (result?.status === "completed") {
    const text = result.completions[0]?.text;
    if (text !== undefined) return text;
  }
  const reason = result?.status === "failed" ? result.reason : "no completion";
  throw new ModelCallError(`Memory Manager, ${lane}, fact ${round}: ${reason}`, {
    retryable: true,
  });
}

function toPlayed({ episode, facts, usage }: LaneState, isCounted: boolean): PlayedEpisode {
  return {
    bank: episode.bank(),
    operations: episode.operationCounts(),
    unparsable: episode.unparsableCount(),
    rejected: episode.rejectedCount(),
    facts,
    ...(isCounted ? { usage } : {}),
  };
}
