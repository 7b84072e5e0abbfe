import { join } from "node:path";
import {
  answerAll,
  type AnswerGrader,
  type AnswerTask,
  bankOfFacts,
  createAnswerEnvironment,
  datedFacts,
  gradeAnswers,
  type MemoryBank,
  selectMemories,
} from "@memory-r1/core";
import type { SplitPart } from "@memory-r1/datasets";
import { deriveSeed, type TextGenerator } from "@memory-r1/spec";
import type { Validation } from "@memory-r1/trainers";
import type { TrainingStage } from "../experiment.ts";
import { countDecisions, playEpisodes } from "./play-episodes.ts";
import type { RunServices, TrainedAgent } from "./run-services.ts";
import { summariseAnswers } from "./score-answers.ts";
import { trainStage } from "./train-stage.ts";

/**
 * Trains the Answer Agent on the banks of one Manager (paper, Algorithm 5, second stage): the questions of the
 * training conversation with the memories retrieved for them. The validation conversation's questions, all of them,
 * decide which checkpoint is kept.
 */
export async function trainAnswerAgent(
  services: RunServices,
  stage: TrainingStage,
  agents: { readonly manager: TrainedAgent | undefined; readonly answer: TrainedAgent | undefined },
): Promise<TrainedAgent> {
  const { experiment, splits } = services;
  const parts = { train: splits.train, validation: splits.validation };
  const banks = await banksOf(services, stage, agents.manager, [parts.train, parts.validation]);
  const tasks = await tasksOf(services, parts.train, banks);
  const validationTasks = await tasksOf(services, parts.validation, banks);
  const grade = services.grader(stage.reward);
  return trainStage(services, stage, {
    environment: createAnswerEnvironment({
      tasks,
      tasksPerStep: stage.tasksPerStep,
      seed: deriveSeed(experiment.seed, stage.name),
      agent: services.answerAgent,
      grade,
    }),
    maxTokens: services.answerAgent.maxTokens,
    startFrom: agents.answer,
    evaluate: (generator) => validate(services, generator, validationTasks, grade),
  });
}

async function banksOf(
  services: RunServices,
  stage: TrainingStage,
  manager: TrainedAgent | undefined,
  parts: readonly SplitPart[],
): Promise<ReadonlyMap<string, MemoryBank>> {
  const conversations = parts.flatMap((part) => part.conversations);
  if (stage.banks === "add-everything" || manager === undefined) {
    return new Map(
      conversations.map((conversation) => [
        conversation.id,
        bankOfFacts(datedFacts(conversation), "add-everything"),
      ]),
    );
  }
  const lanes = conversations.map((conversation) => ({
    key: conversation.id,
    manager: services.manager,
    conversation,
  }));
  const progress = services.context.startProgress(`${stage.name}: banks`, countDecisions(lanes));
  try {
    const played = await playEpisodes({
      lanes,
      generator: await services.trained(manager),
      maxTokens: services.experiment.manager.maxTokens,
      seed: services.experiment.seed,
      temperature: 0,
      file: join(services.runDirectory, "banks", `${stage.name}.jsonl`),
      progress,
      signal: services.context.signal,
    });
    return new Map([...played].map(([key, episode]) => [key, episode.bank]));
  } finally {
    progress.done();
  }
}

function tasksOf(
  services: RunServices,
  part: SplitPart,
  banks: ReadonlyMap<string, MemoryBank>,
): Promise<AnswerTask[]> {
  return Promise.all(
    part.questions.map(async (question) => {
      const bank = banks.get(question.conversationId);
      if (bank === undefined) throw new RangeError(`no bank for ${question.conversationId}`);
      const memories = await selectMemories({
        bank,
        question: question.text,
        retriever: services.retriever,
        count: services.experiment.answer.memories,
      });
      return { question, memories };
    }),
  );
}

async function validate(
  services: RunServices,
  generator: TextGenerator,
  tasks: readonly AnswerTask[],
  grade: AnswerGrader,
): Promise<Validation> {
  const answers = await answerAll({ generator, agent: services.answerAgent, requests: tasks });
  const scores = await gradeAnswers(
    grade,
    answers,
    tasks.map((task) => task.question),
  );
  const { mean, counts } = summariseAnswers(answers, scores);
  return mean === undefined
    ? {
        score: 0,
        healthy: false,
        reason: "no validation question could be graded",
        metrics: counts,
      }
    : { score: mean, healthy: true, metrics: counts };
}
