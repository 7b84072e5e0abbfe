import {
  createRandom,
  deriveSeed,
  memoryOperationKinds,
  type Conversation,
  type Environment,
  type Episode,
  type EpisodeReward,
  type ExtractedFact,
  type GeneratedText,
  type MemoryEntry,
  type MemoryOperationKind,
  type Question,
  type Random,
  shuffled,
  type TextGenerator,
} from "@memory-r1/spec";
import type { AnswerAgent } from "../answer/answer-agent.ts";
import { applyOperations } from "../bank/apply-operations.ts";
import { createMemoryBank, type MemoryBank } from "../bank/memory-bank.ts";
import type { ManagerPrompt, MemoryManager } from "../manager/memory-manager.ts";
import type { Retriever } from "../retrieval/retriever.ts";
import { answerAll, type AnswerCache, selectMemories } from "./answering.ts";
import type { AnswerScore } from "./answer-environment.ts";
import { tasksOfStep } from "./task-order.ts";

/** A fact with the date of the session in which it was said. */
export interface DatedFact {
  readonly fact: ExtractedFact;
  readonly date: string;
}

/** A short episode: some facts in turn, from a bank that every rollout of its group shares. */
export interface ManagerTask {
  readonly id: string;
  readonly bank: MemoryBank;
  readonly facts: readonly DatedFact[];
  /** Asked after the episode, the same for every rollout: about the new facts, and about the memories shown. */
  readonly newFactQuestions: readonly Question[];
  readonly shownQuestions: readonly Question[];
}

export interface ManagerEpisode extends Episode {
  readonly task: ManagerTask;
  bank(): MemoryBank;
  operationCounts(): Readonly<Record<MemoryOperationKind, number>>;
  unparsableCount(): number;
  rejectedCount(): number;
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

export interface ManagerEnvironmentOptions {
  readonly conversation: Conversation;
  readonly questions: readonly Question[];
  readonly tasksPerStep: number;
  readonly seed: number;
  /** Facts that one episode decides on; 1 is a single decision. */
  readonly factsPerEpisode: number;
  /** Share of tasks that start from an empty bank, the state that every episode visits first. */
  readonly emptyBankShare: number;
  /** Smallest and largest start bank of the other tasks, in facts. */
  readonly bankSizes: readonly [number, number];
  readonly manager: MemoryManager;
  readonly reader: {
    readonly generator: TextGenerator;
    readonly agent: AnswerAgent;
    readonly retriever: Retriever;
    readonly count: number;
  };
  readonly score: AnswerScore;
  /** Weight of the new facts' questions; the rest goes to the shown memories' questions. */
  readonly newFactWeight: number;
  readonly maxNewFactQuestions: number;
  readonly maxShownQuestions: number;
  /** Taken off the reward per unparsable or inapplicable reply of the episode, divided by its length. */
  readonly invalidPenalty: number;
}

/**
 * The Memory Manager's environment (paper, section 3.1): the policy decides, the bank changes, a frozen Answer Agent
 * answers, and the answers' score is the reward.
 *
 * Departs from the paper, for the reasons in docs/log.md:
 * 1. the questions cover the new facts and every memory that the prompt shows, half the reward each: with the new
 *    fact's question alone, overwriting a memory costs nothing and the policy collapses into UPDATE;
 * 2. start banks are of all sizes from empty on, not the preceding 24 or 50 turns;
 * 3. an episode can hold several facts (`factsPerEpisode`) before it is scored.
 */
export function createManagerEnvironment(
  options: ManagerEnvironmentOptions,
): Environment<ManagerTask, ManagerEpisode> {
  const facts = datedFacts(options.conversation);
  const starts = episodeStarts(facts, options);
  const cache: AnswerCache = new Map();
  return {
    name: "memory-manager",
    tasks: (step) =>
      Promise.all(
        tasksOfStep(starts, { ...options, step }).map((start, offset) =>
          buildTask(options, facts, start, deriveSeed(options.seed, "task", step, offset)),
        ),
      ),
    taskId: (task) => task.id,
    start: (task) => startEpisode(options.manager, task),
    rewards: (episodes) => scoreEpisodes(options, cache, episodes),
  };
}

/** Indices at which an episode can start: those whose first fact somebody asks about. */
function episodeStarts(facts: readonly DatedFact[], options: ManagerEnvironmentOptions): number[] {
  const starts: number[] = [];
  for (let index = 0; index + options.factsPerEpisode <= facts.length; index++) {
    const first = facts[index];
    if (first && questionsAbout(first.fact.sourceTurnIds, options.questions).length > 0) {
      starts.push(index);
    }
  }
  return starts;
}

function questionsAbout(turnIds: readonly string[], questions: readonly Question[]): Question[] {
  const ids = new Set(turnIds);
  return questions.filter(
    (question) =>
      question.gold !== undefined && question.evidenceTurnIds.some((turnId) => ids.has(turnId)),
  );
}

async function buildTask(
  options: ManagerEnvironmentOptions,
  facts: readonly DatedFact[],
  start: number,
  seed: number,
): Promise<ManagerTask> {
  const random = createRandom(seed);
  const size = startBankSize(options, start, random);
  const earlier = facts.slice(start - size, start);
  const episode = facts.slice(start, start + options.factsPerEpisode);
  const bank = bankOfFacts(earlier, "start");
  const newTurnIds = episode.flatMap(({ fact }) => fact.sourceTurnIds);
  const known = new Set([...earlier.flatMap(({ fact }) => fact.sourceTurnIds), ...newTurnIds]);
  // A question whose other evidence is not in reach would pay nothing whatever the Manager does.
  const askable = options.questions.filter((question) =>
    question.evidenceTurnIds.every((turnId) => known.has(turnId)),
  );
  const aboutNew = questionsAbout(newTurnIds, askable);
  const newFactQuestions = shuffled(
    aboutNew.length > 0 ? aboutNew : questionsAbout(newTurnIds, options.questions),
    random,
  ).slice(0, options.maxNewFactQuestions);
  const shown = await shownAtStart(options, bank, episode);
  const taken = new Set(newFactQuestions.map((question) => question.id));
  const shownQuestions = shuffled(
    questionsAbout(shown.flatMap((entry) => entry.sourceTurnIds), askable).filter(
      (question) => !taken.has(question.id),
    ),
    random,
  ).slice(0, options.maxShownQuestions);
  return {
    id: `${options.conversation.id}/fact-${start}+${options.factsPerEpisode}/bank-${size}`,
    bank,
    facts: episode,
    newFactQuestions,
    shownQuestions,
  };
}

function startBankSize(options: ManagerEnvironmentOptions, start: number, random: Random): number {
  if (start === 0 || random() < options.emptyBankShare) return 0;
  const [smallest, largest] = options.bankSizes;
  const size = smallest + Math.floor(random() * (largest - smallest + 1));
  return Math.min(size, start);
}

async function shownAtStart(
  options: ManagerEnvironmentOptions,
  bank: MemoryBank,
  episode: readonly DatedFact[],
): Promise<MemoryEntry[]> {
  const shown = new Map<string, MemoryEntry>();
  for (const { fact, date } of episode) {
    const prompt = await options.manager.prompt({ bank, fact, date });
    for (const entry of prompt.shown) shown.set(entry.id, entry);
  }
  return [...shown.values()];
}

function startEpisode(manager: MemoryManager, task: ManagerTask): ManagerEpisode {
  const bank = task.bank.fork();
  const counts: Record<MemoryOperationKind, number> = { ADD: 0, UPDATE: 0, DELETE: 0, NOOP: 0 };
  let unparsable = 0;
  let rejected = 0;
  let position = 0;
  let prompt: ManagerPrompt | undefined;
  return {
    task,
    bank: () => bank,
    operationCounts: () => counts,
    unparsableCount: () => unparsable,
    rejectedCount: () => rejected,
    nextPrompt: async () => {
      const next = task.facts[position];
      if (next === undefined) return undefined;
      prompt = await manager.prompt({ bank, fact: next.fact, date: next.date });
      return prompt;
    },
    act: (completion: GeneratedText) => {
      const decided = task.facts[position];
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

async function scoreEpisodes(
  options: ManagerEnvironmentOptions,
  cache: AnswerCache,
  episodes: readonly ManagerEpisode[],
): Promise<EpisodeReward[]> {
  const { generator, agent, retriever, count } = options.reader;
  const asked = await Promise.all(
    episodes.flatMap((episode, episodeIndex) =>
      [...episode.task.newFactQuestions, ...episode.task.shownQuestions].map(async (question) => ({
        episodeIndex,
        question,
        memories: await selectMemories({ bank: episode.bank(), question: question.text, retriever, count }),
      })),
    ),
  );
  const answers = await answerAll({ generator, agent, requests: asked, cache });
  const scores = new Map<number, Map<string, number | undefined>>();
  asked.forEach(({ episodeIndex, question }, index) => {
    const answer = answers[index];
    const ofEpisode = scores.get(episodeIndex) ?? new Map<string, number | undefined>();
    scores.set(episodeIndex, ofEpisode);
    if (answer === undefined || answer.status === "failed") ofEpisode.set(question.id, undefined);
    else if (answer.status === "unparsable") ofEpisode.set(question.id, 0);
    else ofEpisode.set(question.id, options.score(answer.answer, question));
  });
  return episodes.map((episode, index) =>
    episodeReward(options, episode, scores.get(index) ?? new Map<string, number | undefined>()),
  );
}

function episodeReward(
  options: ManagerEnvironmentOptions,
  episode: ManagerEpisode,
  scores: ReadonlyMap<string, number | undefined>,
): EpisodeReward {
  const counts = episode.operationCounts();
  const invalid = episode.unparsableCount() + episode.rejectedCount();
  const metrics: Record<string, number> = {
    unparsable: episode.unparsableCount(),
    rejected: episode.rejectedCount(),
    bankSize: episode.bank().size(),
    bankGrowth: episode.bank().size() - episode.task.bank.size(),
  };
  for (const kind of memoryOperationKinds) metrics[`operations/${kind}`] = counts[kind];
  const newScore = meanScore(episode.task.newFactQuestions, scores);
  const shownScore = meanScore(episode.task.shownQuestions, scores);
  if (newScore === "ungraded" || shownScore === "ungraded") return { reward: undefined, metrics };
  const answered =
    newScore === undefined || shownScore === undefined
      ? (newScore ?? shownScore)
      : options.newFactWeight * newScore + (1 - options.newFactWeight) * shownScore;
  if (answered === undefined) return { reward: undefined, metrics };
  const penalty = (options.invalidPenalty * invalid) / Math.max(1, episode.task.facts.length);
  return { reward: answered - penalty, metrics };
}

/** Undefined: nothing was asked. Ungraded: a question could not be scored, so the episode is masked. */
function meanScore(
  questions: readonly Question[],
  scores: ReadonlyMap<string, number | undefined>,
): number | "ungraded" | undefined {
  if (questions.length === 0) return undefined;
  let sum = 0;
  for (const question of questions) {
    const score = scores.get(question.id);
    if (score === undefined) return "ungraded";
    sum += score;
  }
  return sum / questions.length;
}
