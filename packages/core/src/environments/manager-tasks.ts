import {
  createRandom,
  type Conversation,
  deriveSeed,
  type MemoryEntry,
  type Question,
  type Random,
  shuffled,
} from "@memory-r1/spec";
import { createMemoryBank, type MemoryBank } from "../bank/memory-bank.ts";
import type { MemoryManager } from "../manager/memory-manager.ts";
import {
  bankOfFacts,
  datedFacts,
  type DatedFact,
  type EpisodeStart,
  type ManagerEpisode,
} from "./manager-episode.ts";

/** An episode: some facts in turn, from a bank that every rollout of its group shares. */
export interface ManagerTask extends EpisodeStart {
  readonly id: string;
  readonly conversationId: string;
  /** Asked after the episode, the same for every rollout: about the new facts, and about the memories shown. */
  readonly newFactQuestions: readonly Question[];
  readonly shownQuestions: readonly Question[];
  /** The facts that were told before and that the start bank is made of, or was made from by a rollout. */
  readonly earlier: readonly DatedFact[];
  /** Where in `facts` sessions begin, of an episode of whole sessions from the empty bank; absent: of any other. */
  readonly sessionStarts?: readonly number[];
  /** Rollouts of its group; absent: as many as configured. */
  readonly samples?: number;
}

/** What decides which tasks there are. */
export interface ManagerTaskOptions {
  /** Everything to train on. Ids of turns need to be unique inside one conversation only. */
  readonly conversations: readonly Conversation[];
  readonly questions: readonly Question[];
  /** Facts that one episode decides on; 1 is a single decision. Not read where episodes are of whole sessions. */
  readonly factsPerEpisode: number;
  /** Share of tasks that start from an empty bank, the state that every episode visits first. */
  readonly emptyBankShare: number;
  /** Smallest and largest start bank of the other tasks, in facts. */
  readonly bankSizes: readonly [number, number];
  readonly manager: MemoryManager;
  readonly maxNewFactQuestions: number;
  readonly maxShownQuestions: number;
  /** Most questions after an episode of whole sessions. Memory-R2 draws 16 to 64. Default 16. */
  readonly maxEpisodeQuestions?: number;
}

/** A conversation with what its tasks are drawn from. */
export interface TrainingSource {
  readonly id: string;
  readonly facts: readonly DatedFact[];
  /** The facts of each session that has any: from `start` up to `end`. */
  readonly sessions: readonly { readonly start: number; readonly end: number }[];
  /** Questions about this conversation that have a gold answer. */
  readonly questions: readonly Question[];
}

/** A place at which an episode can begin: a fact, or a session where episodes are of whole sessions. */
export interface TaskStart {
  readonly source: TrainingSource;
  readonly index: number;
}

export function trainingSources(options: ManagerTaskOptions): TrainingSource[] {
  return options.conversations.map((conversation) => {
    const sessions: { start: number; end: number }[] = [];
    let start = 0;
    for (const { facts } of conversation.sessions) {
      const end = start + facts.length;
      if (end > start) sessions.push({ start, end });
      start = end;
    }
    return {
      id: conversation.id,
      facts: datedFacts(conversation),
      sessions,
      questions: options.questions.filter(
        ({ conversationId, gold }) => conversationId === conversation.id && gold !== undefined,
      ),
    };
  });
}

/** Where episodes of facts can start: at facts that somebody asks about. */
export function factStarts(
  sources: readonly TrainingSource[],
  factsPerEpisode: number,
): TaskStart[] {
  return sources.flatMap((source) =>
    source.facts.flatMap(({ fact }, index): TaskStart[] => {
      if (index + factsPerEpisode > source.facts.length) return [];
      const isAsked = questionsAbout(fact.sourceTurnIds, source.questions).length > 0;
      return isAsked ? [{ source, index }] : [];
    }),
  );
}

/**
 * Where episodes of whole sessions can start: at every session that is followed by enough others and that, with them,
 * answers a question. A conversation with fewer sessions gives one episode of all of them.
 */
export function sessionStarts(sources: readonly TrainingSource[], sessions: number): TaskStart[] {
  return sources.flatMap((source) => {
    const last = Math.max(0, source.sessions.length - sessions);
    return source.sessions.flatMap((_, index): TaskStart[] => {
      if (index > last) return [];
      const { facts } = sessionWindow({ source, index }, sessions);
      return questionsWithin(facts, source.questions).length > 0 ? [{ source, index }] : [];
    });
  });
}

/**
 * The task of facts at a start: a pure function of its arguments.
 * @throws ModelCallError where the Manager's retrieval needs an embedding and cannot get it
 */
export async function buildFactTask(
  options: ManagerTaskOptions,
  { source, index: start }: TaskStart,
  seed: number,
): Promise<ManagerTask> {
  const random = createRandom(seed);
  const size = startBankSize(options, start, random);
  const earlier = source.facts.slice(start - size, start);
  const episode = source.facts.slice(start, start + options.factsPerEpisode);
  const bank = bankOfFacts(earlier, "start");
  return {
    id: `${source.id}/fact-${start}+${options.factsPerEpisode}/bank-${size}`,
    conversationId: source.id,
    bank,
    facts: episode,
    earlier,
    ...(await drawQuestions(source, { manager: options.manager, bank, earlier, episode }, random, {
      newFact: options.maxNewFactQuestions,
      shown: options.maxShownQuestions,
    })),
  };
}

/**
 * The task of whole sessions at a start, from the empty bank on, as if the conversation began there: every memory is one
 * that the rollout wrote itself. Asked is what these sessions answer by themselves.
 *
 * Source: Memory-R2 (arXiv 2605.21768), whose episodes always begin with the first session. Here any run of sessions is
 * one, since a split may have a single conversation to train on.
 */
export function buildSessionTask(
  options: ManagerTaskOptions,
  start: TaskStart,
  sessions: number,
  seed: number,
): ManagerTask {
  const { facts, starts } = sessionWindow(start, sessions);
  const questions = shuffled(questionsWithin(facts, start.source.questions), createRandom(seed));
  return {
    id: `${start.source.id}/session-${start.index}+${starts.length}`,
    conversationId: start.source.id,
    bank: createMemoryBank(),
    facts,
    earlier: [],
    newFactQuestions: questions.slice(0, maxEpisodeQuestions(options)),
    shownQuestions: [],
    sessionStarts: starts,
  };
}

/** Sessions that are played again from the memory of one rollout. */
export interface LocalRerolls {
  /** Share of the sessions of an episode that are. Memory-R2: 0.25 and 0.5. */
  readonly share: number;
  /** Rollouts of each. Memory-R2: 4 and 8. */
  readonly samples: number;
}

/**
 * Local re-rollouts of LoGo-GRPO: once the rollouts of a group have written different memories, what they do in later
 * sessions cannot be compared any more. So some sessions are played again by several rollouts from one memory, that of
 * a rollout of the group just before the session, and are a group of their own: asked is about what the session tells
 * and about the memories that its prompts show first, at once and not at the end of the conversation.
 *
 * Source: Memory-R2 (arXiv 2605.21768), `rema_trainer/ppo/ray_trainer.py` at 357b4ec (`inner_sampling_fraction`,
 * `inner_n`). Departs: each group draws its own sessions, and memories shown are asked about, too, for the reason that
 * createManagerEnvironment names.
 * @param episodes of one step, finished
 */
export async function buildLocalTasks(
  options: ManagerTaskOptions,
  sources: readonly TrainingSource[],
  { share, samples }: LocalRerolls,
  episodes: readonly ManagerEpisode<ManagerTask>[],
  seed: number,
): Promise<ManagerTask[]> {
  const groups = new Map<ManagerTask, ManagerEpisode<ManagerTask>[]>();
  for (const episode of episodes) {
    const rollouts = groups.get(episode.start) ?? [];
    rollouts.push(episode);
    groups.set(episode.start, rollouts);
  }
  const drawn = [...groups].flatMap(([task, rollouts], group) => {
    const source = sources.find(({ id }) => id === task.conversationId);
    if (source === undefined) return [];
    return (task.sessionStarts ?? []).flatMap((begin, session) => {
      const random = createRandom(deriveSeed(seed, group, session));
      if (random() >= share) return [];
      const rollout = Math.floor(random() * rollouts.length);
      const end = task.sessionStarts?.[session + 1] ?? task.facts.length;
      return [{ source, task, rollouts, rollout, session, begin, end, random }];
    });
  });
  const tasks = await Promise.all(
    drawn.map(async ({ source, task, rollouts, rollout, session, begin, end, random }) => {
      const bank = rollouts[rollout]?.bankBefore(begin);
      if (bank === undefined) return [];
      const earlier = task.facts.slice(0, begin);
      const episode = task.facts.slice(begin, end);
      const most = maxEpisodeQuestions(options);
      const questions = await drawQuestions(
        source,
        { manager: options.manager, bank, earlier, episode },
        random,
        { newFact: most, shown: most },
      );
      if (questions.newFactQuestions.length + questions.shownQuestions.length === 0) return [];
      const local: ManagerTask = {
        id: `${task.id}/again-${session}-of-${rollout}`,
        conversationId: task.conversationId,
        bank,
        facts: episode,
        earlier,
        ...questions,
        samples,
      };
      return [local];
    }),
  );
  return tasks.flat();
}

/** What is asked after an episode: about its facts, and about what its prompts show before any of them is decided on. */
async function drawQuestions(
  source: TrainingSource,
  {
    manager,
    bank,
    earlier,
    episode,
  }: {
    readonly manager: MemoryManager;
    readonly bank: MemoryBank;
    readonly earlier: readonly DatedFact[];
    readonly episode: readonly DatedFact[];
  },
  random: Random,
  most: { readonly newFact: number; readonly shown: number },
): Promise<Pick<ManagerTask, "newFactQuestions" | "shownQuestions">> {
  const newTurnIds = turnIdsOf(episode);
  // A question whose other evidence is not in reach would pay nothing whatever the Manager does.
  const askable = questionsWithin([...earlier, ...episode], source.questions);
  const aboutNew = questionsAbout(newTurnIds, askable);
  const newFactQuestions = shuffled(
    aboutNew.length > 0 ? aboutNew : questionsAbout(newTurnIds, source.questions),
    random,
  ).slice(0, most.newFact);
  const shown = await shownAtStart(manager, bank, episode);
  const taken = new Set(newFactQuestions.map((question) => question.id));
  const shownQuestions = shuffled(
    questionsAbout(
      shown.flatMap((entry) => entry.sourceTurnIds),
      askable,
    ).filter((question) => !taken.has(question.id)),
    random,
  ).slice(0, most.shown);
  return { newFactQuestions, shownQuestions };
}

/** The facts of some sessions in a row, and where among them each session begins. */
function sessionWindow(
  { source, index }: TaskStart,
  count: number,
): { readonly facts: readonly DatedFact[]; readonly starts: readonly number[] } {
  const sessions = source.sessions.slice(index, index + count);
  const begin = sessions[0]?.start ?? 0;
  return {
    facts: source.facts.slice(begin, sessions.at(-1)?.end ?? begin),
    starts: sessions.map(({ start }) => start - begin),
  };
}

function maxEpisodeQuestions(options: ManagerTaskOptions): number {
  return options.maxEpisodeQuestions ?? 16;
}

function turnIdsOf(facts: readonly DatedFact[]): string[] {
  return facts.flatMap(({ fact }) => fact.sourceTurnIds);
}

/** The questions of whose evidence the turns are a part. */
function questionsAbout(turnIds: readonly string[], questions: readonly Question[]): Question[] {
  const ids = new Set(turnIds);
  return questions.filter((question) => question.evidenceTurnIds.some((turnId) => ids.has(turnId)));
}

/** The questions whose evidence lies wholly in what the facts were drawn from. */
function questionsWithin(facts: readonly DatedFact[], questions: readonly Question[]): Question[] {
  const known = new Set(turnIdsOf(facts));
  return questions.filter(
    ({ evidenceTurnIds }) =>
      evidenceTurnIds.length > 0 && evidenceTurnIds.every((turnId) => known.has(turnId)),
  );
}

function startBankSize(options: ManagerTaskOptions, start: number, random: Random): number {
  if (start === 0 || random() < options.emptyBankShare) return 0;
  const [smallest, largest] = options.bankSizes;
  const size = smallest + Math.floor(random() * (largest - smallest + 1));
  return Math.min(size, start);
}

/** The memories that the prompts of an episode show before any of its facts has been decided on. */
async function shownAtStart(
  manager: MemoryManager,
  bank: MemoryBank,
  episode: readonly DatedFact[],
): Promise<MemoryEntry[]> {
  const shown = new Map<string, MemoryEntry>();
  for (const { fact, date } of episode) {
    const prompt = await manager.prompt({ bank, fact, date });
    for (const entry of prompt.shown) shown.set(entry.id, entry);
  }
  return [...shown.values()];
}
