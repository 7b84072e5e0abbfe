import type {
  Environment,
  Episode,
  EpisodeReward,
  GeneratedText,
  PolicyPrompt,
  Question,
} from "@memory-r1/spec";
import type { AnswerAgent, AnswerMemory } from "../answer/answer-agent.ts";
import type { Answer } from "./answering.ts";
import { type AnswerGrader, gradeAnswers } from "./grading.ts";
import { tasksOfStep } from "./task-order.ts";

/** A question with the memories retrieved for it from the bank that this stage trains on. */
export interface AnswerTask {
  readonly question: Question;
  readonly memories: readonly AnswerMemory[];
}

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
  readonly grade: AnswerGrader;
}): Environment<AnswerTask, AnswerEpisode> {
  return {
    name: "answer-agent",
    tasks: (step) => Promise.resolve(tasksOfStep(options.tasks, { ...options, step })),
    taskId: (task) => task.question.id,
    start: (task) => startEpisode(options.agent, task),
    rewards: (episodes) => rewardsOf(episodes, options.agent, options.grade),
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

/** A reply of the policy is an answer like any other; one that never came is a failed call. */
async function rewardsOf(
  episodes: readonly AnswerEpisode[],
  agent: AnswerAgent,
  grade: AnswerGrader,
): Promise<EpisodeReward[]> {
  const answers = episodes.map((episode): Answer => {
    const raw = episode.reply();
    if (raw === undefined) return { status: "failed", reason: "no reply" };
    const parsed = agent.parse(raw);
    return parsed.status === "parsed"
      ? { status: "answered", answer: parsed.answer, raw }
      : { status: "unparsable", reason: parsed.reason, raw };
  });
  const scores = await gradeAnswers(
    grade,
    answers,
    episodes.map(({ task }) => task.question),
  );
  return answers.map(({ status }, index) => ({
    reward: scores[index],
    metrics: status === "failed" ? {} : { unparsable: status === "unparsable" ? 1 : 0 },
  }));
}
