import {
  createRandom,
  type Conversation,
  type MemoryEntry,
  type Question,
  type Random,
  shuffled,
} from "@memory-r1/spec";
import type { MemoryBank } from "../bank/memory-bank.ts";
import type { MemoryManager } from "../manager/memory-manager.ts";
import { bankOfFacts, type DatedFact, type EpisodeStart } from "./manager-episode.ts";

/** A short episode: some facts in turn, from a bank that every rollout of its group shares. */
export interface ManagerTask extends EpisodeStart {
  readonly id: string;
  /** Asked after the episode, the same for every rollout: about the new facts, and about the memories shown. */
  readonly newFactQuestions: readonly Question[];
  readonly shownQuestions: readonly Question[];
}

/** What decides which tasks there are. */
export interface ManagerTaskOptions {
  readonly conversation: Conversation;
  readonly questions: readonly Question[];
  /** Facts that one episode decides on; 1 is a single decision. */
  readonly factsPerEpisode: number;
  /** Share of tasks that start from an empty bank, the state that every episode visits first. */
  readonly emptyBankShare: number;
  /** Smallest and largest start bank of the other tasks, in facts. */
  readonly bankSizes: readonly [number, number];
  readonly manager: MemoryManager;
  readonly maxNewFactQuestions: number;
  readonly maxShownQuestions: number;
}

/** Indices of facts at which an episode can start: those whose first fact somebody asks about. */
export function episodeStarts(facts: readonly DatedFact[], options: ManagerTaskOptions): number[] {
  const starts: number[] = [];
  for (let index = 0; index + options.factsPerEpisode <= facts.length; index++) {
    const first = facts[index];
    if (first && questionsAbout(first.fact.sourceTurnIds, options.questions).length > 0) {
      starts.push(index);
    }
  }
  return starts;
}

/**
 * The task at a start: a pure function of its arguments.
 * @throws ModelCallError where the Manager's retrieval needs an embedding and cannot get it
 */
export async function buildManagerTask(
  options: ManagerTaskOptions,
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
  const shown = await shownAtStart(options.manager, bank, episode);
  const taken = new Set(newFactQuestions.map((question) => question.id));
  const shownQuestions = shuffled(
    questionsAbout(
      shown.flatMap((entry) => entry.sourceTurnIds),
      askable,
    ).filter((question) => !taken.has(question.id)),
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

/** The questions with a gold answer of whose evidence the turns are a part. */
function questionsAbout(turnIds: readonly string[], questions: readonly Question[]): Question[] {
  const ids = new Set(turnIds);
  return questions.filter(
    (question) =>
      question.gold !== undefined && question.evidenceTurnIds.some((turnId) => ids.has(turnId)),
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
