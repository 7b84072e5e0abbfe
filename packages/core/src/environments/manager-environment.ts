import {
  deriveSeed,
  memoryOperationKinds,
  type Environment,
  type EpisodeReward,
  type Question,
  type TextGenerator,
} from "@memory-r1/spec";
import type { AnswerAgent } from "../answer/answer-agent.ts";
import type { Retriever } from "../retrieval/retriever.ts";
import { answerAll, selectMemories } from "./answering.ts";
import type { AnswerScore } from "./answer-environment.ts";
import { datedFacts, type ManagerEpisode, startManagerEpisode } from "./manager-episode.ts";
import {
  buildManagerTask,
  episodeStarts,
  type ManagerTask,
  type ManagerTaskOptions,
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
  readonly score: AnswerScore;
  /** Weight of the new facts' questions; the rest goes to the shown memories' questions. */
  readonly newFactWeight: number;
  /** Taken off the reward per unparsable or inapplicable reply of the episode, divided by its length. */
  readonly invalidPenalty: number;
}

/**
 * The Memory Manager's environment (paper, section 3.1): the policy decides, the bank changes, a frozen Answer Agent
 * answers, and the answers' score is the reward. A question that the reader could not be asked, or that cannot be
 * graded, masks the episode; a reply of the reader without an answer in it scores 0.
 *
 * Departs from the paper, for the reasons in docs/log.md:
 * 1. the questions cover the new facts and every memory that the prompt shows, half the reward each: with the new
 *    fact's question alone, overwriting a memory costs nothing and the policy collapses into UPDATE;
 * 2. start banks are of all sizes from empty on, not the preceding 24 or 50 turns;
 * 3. an episode can hold several facts (`factsPerEpisode`) before it is scored.
 */
export function createManagerEnvironment(
  options: ManagerEnvironmentOptions,
): Environment<ManagerTask, ManagerEpisode<ManagerTask>> {
  const facts = datedFacts(options.conversation);
  const starts = episodeStarts(facts, options);
  return {
    name: "memory-manager",
    tasks: (step) =>
      Promise.all(
        tasksOfStep(starts, { ...options, step }).map((start, offset) =>
          buildManagerTask(options, facts, start, deriveSeed(options.seed, "task", step, offset)),
        ),
      ),
    taskId: (task) => task.id,
    start: (task) => startManagerEpisode(options.manager, task),
    rewards: (episodes) => scoreEpisodes(options, episodes),
  };
}

/** Question id to its answer's score; undefined where there is none. */
type QuestionScores = Map<string, number | undefined>;

/** All questions of all episodes in one batch. */
async function scoreEpisodes(
  options: ManagerEnvironmentOptions,
  episodes: readonly ManagerEpisode<ManagerTask>[],
): Promise<EpisodeReward[]> {
  const { generator, agent, retriever, count } = options.reader;
  const asked = await Promise.all(
    episodes.flatMap((episode) => {
      const bank = episode.bank();
      return [...episode.start.newFactQuestions, ...episode.start.shownQuestions].map(
        async (question) => ({
          episode,
          question,
          memories: await selectMemories({ bank, question: question.text, retriever, count }),
        }),
      );
    }),
  );
  const answers = await answerAll({ generator, agent, requests: asked });
  const scores = new Map(
    episodes.map((episode): [ManagerEpisode, QuestionScores] => [episode, new Map()]),
  );
  for (const [index, { episode, question }] of asked.entries()) {
    const answer = answers[index];
    const ofEpisode = scores.get(episode);
    if (answer?.status === "answered")
      ofEpisode?.set(question.id, options.score(answer.answer, question));
    if (answer?.status === "unparsable") ofEpisode?.set(question.id, 0);
  }
  return episodes.map((episode) =>
    episodeReward(options, episode, scores.get(episode) ?? new Map()),
  );
}

function episodeReward(
  options: ManagerEnvironmentOptions,
  episode: ManagerEpisode<ManagerTask>,
  scores: QuestionScores,
): EpisodeReward {
  const task = episode.start;
  const counts = episode.operationCounts();
  const invalid = episode.unparsableCount() + episode.rejectedCount();
  const metrics: Record<string, number> = {
    unparsable: episode.unparsableCount(),
    rejected: episode.rejectedCount(),
    bankSize: episode.bank().size(),
    bankGrowth: episode.bank().size() - task.bank.size(),
  };
  for (const kind of memoryOperationKinds) metrics[`operations/${kind}`] = counts[kind];
  const newScore = meanScore(task.newFactQuestions, scores);
  const shownScore = meanScore(task.shownQuestions, scores);
  if (newScore === "ungraded" || shownScore === "ungraded") return { reward: undefined, metrics };
  const answered =
    newScore === undefined || shownScore === undefined
      ? (newScore ?? shownScore)
      : options.newFactWeight * newScore + (1 - options.newFactWeight) * shownScore;
  if (answered === undefined) return { reward: undefined, metrics };
  const penalty = (options.invalidPenalty * invalid) / Math.max(1, task.facts.length);
  return { reward: answered - penalty, metrics };
}

/** Undefined: nothing was asked. Ungraded: a question could not be scored, so the episode is masked. */
function meanScore(
  questions: readonly Question[],
  scores: QuestionScores,
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
