import type {
  Environment,
  Episode,
  EpisodeReward,
  GeneratedText,
  PolicyPrompt,
  Question,
} from "@memory-r1/spec";
import type { AnswerAgent, AnswerMemory } from "../answer/answer-agent.ts";
import { tasksOfStep } from "./task-order.ts";

/** A question with the memories retrieved for it from the bank that this stage trains on. */
export interface AnswerTask {
  readonly question: Question;
  readonly memories: readonly AnswerMemory[];
}

/** Scores an answer; undefined where it cannot be graded. The same function that the result table reports. */
export type AnswerScore = (prediction: string, question: Question) => number | undefined;

export interface AnswerEpisode extends Episode {
  readonly task: AnswerTask;
  /** The reply, once there is one. */
  reply(): string | undefined;
}

/**
 * The Answer Agent's environment (paper, section 3.2): one question, one reply, the reward of its answer alone.
 * An unparsable reply earns 0 and is counted; a question that cannot be graded masks its sample.
 */
export function createAnswerEnvironment(options: {
  readonly tasks: readonly AnswerTask[];
  readonly tasksPerStep: number;
  readonly seed: number;
  readonly agent: AnswerAgent;
  readonly score: AnswerScore;
}): Environment<AnswerTask, AnswerEpisode> {
  return {
    name: "answer-agent",
    tasks: (step) => Promise.resolve(tasksOfStep(options.tasks, { ...options, step })),
    taskId: (task) => task.question.id,
    start: (task) => startEpisode(options.agent, task),
    rewards: (episodes) =>
      Promise.resolve(episodes.map((episode) => rewardOf(episode, options.agent, options.score))),
  };
}

function startEpisode(agent: AnswerAgent, task: AnswerTask): AnswerEpisode {
  let reply: string | undefined;
  return {
    task,
    reply: () => reply,
    nextPrompt: (): Promise<PolicyPrompt | undefined> =>
      Promise.resolve(reply === undefined ? { messages: agent.prompt(task) } : undefined),
    act: (completion: GeneratedText) => {
      reply = completion.text;
      return Promise.resolve();
    },
  };
}

function rewardOf(episode: AnswerEpisode, agent: AnswerAgent, score: AnswerScore): EpisodeReward {
  const reply = episode.reply();
  if (reply === undefined) return { reward: undefined, metrics: {} };
  const parsed = agent.parse(reply);
  if (parsed.status === "unparsable") return { reward: 0, metrics: { unparsable: 1 } };
  return { reward: score(parsed.answer, episode.task.question), metrics: { unparsable: 0 } };
}
