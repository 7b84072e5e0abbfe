import {
  ConfigError,
  deriveSeed,
  memoryOperationKinds,
  type Environment,
  type EpisodeReward,
  type Question,
  type TextGenerator,
} from "@memory-r1/spec";
import type { AnswerAgent, AnswerMemory } from "../answer/answer-agent.ts";
import type { MemoryBank } from "../bank/memory-bank.ts";
import type { Retriever } from "../retrieval/retriever.ts";
import { answerAll, selectMemories } from "./answering.ts";
import { bankContentKey } from "./bank-content.ts";
import { type CompressionOptions, computeBankSize } from "./compression.ts";
import { createCurriculum, type Curriculum, type CurriculumOptions } from "./curriculum.ts";
import { type AnswerGrader, gradeAnswers } from "./grading.ts";
import { type DatedFact, type ManagerEpisode, startManagerEpisode } from "./manager-episode.ts";
import {
  buildFactTask,
  buildLocalTasks,
  buildSessionTask,
  factStarts,
  type LocalRerolls,
  type ManagerTask,
  type ManagerTaskOptions,
  sessionStarts,
  trainingSources,
} from "./manager-tasks.ts";
import { tasksOfStep } from "./task-order.ts";

export interface ManagerEnvironmentOptions extends ManagerTaskOptions {
  readonly tasksPerStep: number;
  readonly seed: number;
  /** The frozen Answer Agent, and how many memories it reads. */
  readonly reader: {
    readonly generator: TextGenerator;
    readonly agent: AnswerAgent;
    readonly retriever: Retriever;
    readonly count: number;
  };
  readonly grade: AnswerGrader;
  /** Weight of the new facts' questions; the rest goes to the shown memories' questions. */
  readonly newFactWeight: number;
  /** Taken off the reward per unparsable or inapplicable reply of the episode, divided by its length. */
  readonly invalidPenalty: number;
  /** Episodes of so many whole sessions, or of more and more of them; absent: of facts. */
  readonly sessions?: number | CurriculumOptions;
  /** Sessions of an episode that are played again from one rollout's memory; absent: none. Needs `sessions`. */
  readonly local?: LocalRerolls;
  /** What a large bank costs; absent: nothing. */
  readonly compression?: CompressionOptions;
  /**
   * Makes, of the facts that were told, what says which of their turns some memories hold: counts the evidence that is
   * gone from a bank, and that the reader was not shown. Absent: neither is counted.
   */
  readonly createHeldTurns?: CreateHeldTurns;
}

/** `createHeldTurns` of packages/metrics. */
export type CreateHeldTurns = (
  facts: readonly { readonly text: string; readonly sourceTurnIds: readonly string[] }[],
) => (memoryTexts: Iterable<string>) => ReadonlySet<string>;

/**
 * The Memory Manager's environment (paper, section 3.1): the policy decides, the bank changes, a frozen Answer Agent
 * answers, and the answers' score is the reward. A question that the reader could not be asked, or that cannot be
 * graded, masks the episode; a reply of the reader without an answer in it scores 0. Rollouts that come to banks of the
 * same content are retrieved for, answered and graded once.
 *
 * Departs from the paper, for the reasons in docs/log.md:
 * 1. the questions cover the new facts and every memory that the prompt shows, half the reward each: with the new
 *    fact's question alone, overwriting a memory costs nothing and the policy collapses into UPDATE;
 * 2. start banks are of all sizes from empty on, not the preceding 24 or 50 turns;
 * 3. an episode can hold several facts (`factsPerEpisode`) before it is scored.
 * Not in the paper, and off unless asked for: episodes of whole sessions through the Manager's own bank, a curriculum,
 * local re-rollouts and a price for large banks, each with its source where it is defined.
 * @throws ConfigError for local re-rollouts without sessions, or a curriculum that does not grow
 */
export function createManagerEnvironment(
  options: ManagerEnvironmentOptions,
): Environment<ManagerTask, ManagerEpisode<ManagerTask>> {
  const { local, sessions } = options;
  if (local !== undefined && sessions === undefined) {
    throw new ConfigError(
      "local re-rollouts play a session of an episode again: set the number of sessions of an episode, too.",
    );
  }
  const sources = trainingSources(options);
  const curriculum = typeof sessions === "object" ? createCurriculum(sessions) : undefined;
  const tasksSeed = (step: number, offset: number): number =>
    deriveSeed(options.seed, "task", step, offset);
  return {
    name: "memory-manager",
    tasks: async (step) => {
      const count = sessionsNow(sessions, curriculum);
      if (count === undefined) {
        const starts = factStarts(sources, options.factsPerEpisode);
        return Promise.all(
          tasksOfStep(starts, { ...options, step }).map((start, offset) =>
            buildFactTask(options, start, tasksSeed(step, offset)),
          ),
        );
      }
      const starts = sessionStarts(sources, count);
      return tasksOfStep(starts, { ...options, step }).map((start, offset) =>
        buildSessionTask(options, start, count, tasksSeed(step, offset)),
      );
    },
    taskId: (task) => task.id,
    start: (task) => startManagerEpisode(options.manager, task),
    rewards: (episodes) => scoreEpisodes(options, episodes),
    localTasks: async (step, episodes) =>
      local === undefined
        ? []
        : buildLocalTasks(
            options,
            sources,
            local,
            episodes,
            deriveSeed(options.seed, "local", step),
          ),
    samplesOf: (task) => task.samples,
    observe: (validation) => curriculum?.observe(validation),
  };
}

function sessionsNow(
  sessions: number | CurriculumOptions | undefined,
  curriculum: Curriculum | undefined,
): number | undefined {
  return typeof sessions === "number" ? sessions : curriculum?.sessions();
}

/** A bank of some content, whichever rollouts came to it. */
interface BankCase {
  readonly bank: MemoryBank;
  /** Everything that is asked about it, by id. */
  readonly questions: Map<string, Question>;
  /** Question id to what came of it. */
  readonly results: Map<string, QuestionResult>;
}

interface QuestionResult {
  readonly memories: readonly AnswerMemory[];
  /** Undefined where the answer could not be had or not be graded. */
  readonly score: number | undefined;
}

/** An episode with the bank that it came to. */
interface EndedEpisode {
  readonly episode: ManagerEpisode<ManagerTask>;
  readonly questions: readonly Question[];
  readonly ofBank: BankCase;
  /** Questions that an earlier episode with an equal bank has asked already. */
  readonly shared: number;
}

/** All questions about all banks in one batch. */
async function scoreEpisodes(
  options: ManagerEnvironmentOptions,
  episodes: readonly ManagerEpisode<ManagerTask>[],
): Promise<EpisodeReward[]> {
  const { generator, agent, retriever, count } = options.reader;
  const cases = new Map<string, BankCase>();
  const ended = episodes.map((episode): EndedEpisode => {
    const bank = episode.bank();
    const key = bankContentKey(bank);
    const ofBank = cases.get(key) ?? { bank, questions: new Map(), results: new Map() };
    cases.set(key, ofBank);
    const questions = [...episode.start.newFactQuestions, ...episode.start.shownQuestions];
    const unasked = questions.filter(({ id }) => !ofBank.questions.has(id));
    for (const question of unasked) ofBank.questions.set(question.id, question);
    return { episode, questions, ofBank, shared: questions.length - unasked.length };
  });
  const asked = await Promise.all(
    [...cases.values()].flatMap((ofBank) =>
      [...ofBank.questions.values()].map(async (question) => ({
        ofBank,
        question,
        memories: await selectMemories({
          bank: ofBank.bank,
          question: question.text,
          retriever,
          count,
        }),
      })),
    ),
  );
  const scores = await gradeAnswers(
    options.grade,
    await answerAll({ generator, agent, requests: asked }),
    asked.map(({ question }) => question),
  );
  for (const [index, { ofBank, question, memories }] of asked.entries())
    ofBank.results.set(question.id, { memories, score: scores[index] });
  return ended.map((one) => episodeReward(options, one));
}

function episodeReward(options: ManagerEnvironmentOptions, ended: EndedEpisode): EpisodeReward {
  const { episode, questions, ofBank, shared } = ended;
  const task = episode.start;
  const counts = episode.operationCounts();
  const invalid = episode.unparsableCount() + episode.rejectedCount();
  const metrics: Record<string, number> = {
    unparsable: episode.unparsableCount(),
    rejected: episode.rejectedCount(),
    bankSize: ofBank.bank.size(),
    bankGrowth: ofBank.bank.size() - task.bank.size(),
    facts: task.facts.length,
    "reader/questions": questions.length,
    "reader/questionsShared": shared,
  };
  for (const kind of memoryOperationKinds) metrics[`operations/${kind}`] = counts[kind];
  if (task.sessionStarts !== undefined) metrics["sessions"] = task.sessionStarts.length;
  const told = [...task.earlier, ...task.facts];
  let penalty = (options.invalidPenalty * invalid) / Math.max(1, task.facts.length);
  if (options.compression !== undefined) {
    const size = computeBankSize(ofBank.bank, told, options.compression);
    penalty += size.penalty;
    metrics["compression/bankTokens"] = size.bankTokens;
    metrics["compression/readTokens"] = size.readTokens;
    metrics["compression/penalty"] = size.penalty;
  }
  if (options.createHeldTurns !== undefined)
    Object.assign(metrics, evidenceCounts(options.createHeldTurns, told, ended));
  const newScore = meanScore(task.newFactQuestions, ofBank);
  const shownScore = meanScore(task.shownQuestions, ofBank);
  if (newScore === "ungraded" || shownScore === "ungraded") return { reward: undefined, metrics };
  const answered =
    newScore === undefined || shownScore === undefined
      ? (newScore ?? shownScore)
      : options.newFactWeight * newScore + (1 - options.newFactWeight) * shownScore;
  return { reward: answered === undefined ? undefined : answered - penalty, metrics };
}

/**
 * Evidence turns by question: cited, gone from the bank, and in the bank but in no memory that the reader was shown: the
 * memory and retrieval failures of Memory-R2, by which a collapse shows before the score does.
 */
function evidenceCounts(
  createHeldTurns: CreateHeldTurns,
  told: readonly DatedFact[],
  { questions, ofBank }: EndedEpisode,
): Record<string, number> {
  const held = createHeldTurns(told.map(({ fact }) => fact));
  const inBank = held(ofBank.bank.entries().map(({ text }) => text));
  let cited = 0;
  let missing = 0;
  let unshown = 0;
  for (const { id, evidenceTurnIds } of questions) {
    const inPrompt = held((ofBank.results.get(id)?.memories ?? []).map(({ text }) => text));
    cited += evidenceTurnIds.length;
    missing += evidenceTurnIds.filter((turnId) => !inBank.has(turnId)).length;
    unshown += evidenceTurnIds.filter(
      (turnId) => inBank.has(turnId) && !inPrompt.has(turnId),
    ).length;
  }
  return { "evidence/cited": cited, "evidence/missing": missing, "evidence/unshown": unshown };
}

/** Undefined: nothing was asked. Ungraded: a question could not be scored, so the episode is masked. */
function meanScore(
  questions: readonly Question[],
  { results }: BankCase,
): number | "ungraded" | undefined {
  if (questions.length === 0) return undefined;
  let sum = 0;
  for (const question of questions) {
    const score = results.get(question.id)?.score;
    if (score === undefined) return "ungraded";
    sum += score;
  }
  return sum / questions.length;
}
