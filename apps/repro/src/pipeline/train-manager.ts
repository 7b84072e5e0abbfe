import { answerAll, createManagerEnvironment, datedFacts, selectMemories } from "@memory-r1/core";
import { computeHeldTurns, evidenceMissing } from "@memory-r1/metrics";
import { ConfigError, deriveSeed, type TextGenerator } from "@memory-r1/spec";
import type { TrainingStage } from "../experiment.ts";
import { judgeManager, type PlayedValidation } from "./judge-manager.ts";
import { operationMetrics, playEpisodes } from "./play-episodes.ts";
import type { RunServices, TrainedAgent } from "./run-services.ts";
import { summariseAnswers } from "./score-answers.ts";
import { trainStage } from "./train-stage.ts";

/**
 * Trains the Memory Manager against a frozen Answer Agent (paper, Algorithm 5, first stage): the trained one where an
 * earlier stage made it, otherwise the base model. What decides which checkpoint is kept is not the reward but an
 * episode on the validation conversation, from the empty bank on: the answers to everything that was said, and
 * whether more of the evidence is gone from the bank than under the untrained Manager.
 */
export async function trainManager(
  services: RunServices,
  stage: TrainingStage,
  agents: { readonly manager: TrainedAgent | undefined; readonly answer: TrainedAgent | undefined },
): Promise<TrainedAgent> {
  const { experiment, splits } = services;
  const [conversation] = splits.train.conversations;
  if (conversation === undefined) throw new ConfigError("the training split holds no conversation");
  const reader =
    agents.answer === undefined ? services.base : await services.trained(agents.answer);
  const { facts, validationFacts, ...episode } = stage.episode;
  const environment = createManagerEnvironment({
    ...episode,
    conversation,
    questions: splits.train.questions,
    tasksPerStep: stage.tasksPerStep,
    seed: deriveSeed(experiment.seed, stage.name),
    factsPerEpisode: facts,
    manager: services.manager,
    reader: {
      generator: reader,
      agent: services.answerAgent,
      retriever: services.retriever,
      count: experiment.answer.memories,
    },
    score: services.score(stage.reward),
  });
  return trainStage(services, stage, {
    environment,
    maxTokens: experiment.manager.maxTokens,
    startFrom: agents.manager,
    evaluate: async (generator, untrained) =>
      judgeManager(
        await playValidation(services, stage, generator, reader, validationFacts),
        untrained?.metrics["evidenceMissing"],
      ),
  });
}

async function playValidation(
  services: RunServices,
  stage: TrainingStage,
  generator: TextGenerator,
  reader: TextGenerator,
  factLimit: number | undefined,
): Promise<PlayedValidation> {
  const { experiment, splits, context } = services;
  const [conversation] = splits.validation.conversations;
  if (conversation === undefined)
    throw new ConfigError("the validation split holds no conversation");
  const facts = datedFacts(conversation).slice(0, factLimit);
  const progress = context.startProgress(`${stage.name}: validation episode`, facts.length);
  try {
    const played = await playEpisodes({
      lanes: [{ key: conversation.id, manager: services.manager, conversation, facts }],
      generator,
      maxTokens: experiment.manager.maxTokens,
      seed: experiment.seed,
      temperature: 0,
      file: undefined,
      progress,
      signal: context.signal,
    });
    const episode = played.get(conversation.id);
    if (episode === undefined) throw new RangeError("the validation episode was not played");
    // Asked is what has been said: everything up to the last fact's session, or all when the episode is whole.
    const said = new Set(facts.flatMap(({ fact }) => fact.sourceTurnIds));
    const questions =
      factLimit === undefined
        ? splits.validation.questions
        : splits.validation.questions.filter((question) =>
            question.evidenceTurnIds.every((turnId) => said.has(turnId)),
          );
    const requests = await Promise.all(
      questions.map(async (question) => ({
        question,
        memories: await selectMemories({
          bank: episode.bank,
          question: question.text,
          retriever: services.retriever,
          count: experiment.answer.memories,
        }),
      })),
    );
    const answers = await answerAll({ generator: reader, agent: services.answerAgent, requests });
    const { mean, counts } = summariseAnswers(answers, questions, services.score(stage.reward));
    const held = computeHeldTurns(
      facts.map(({ fact }) => fact),
      episode.bank.entries().map((entry) => entry.text),
    );
    const missing =
      evidenceMissing(
        questions.map((question) => question.evidenceTurnIds),
        held,
      ) ?? 0;
    return {
      answerScore: mean,
      missing,
      metrics: {
        ...operationMetrics(episode),
        ...(mean === undefined ? {} : { answerScore: mean }),
        facts: facts.length,
        answersGraded: counts.graded,
        answersUnparsable: counts.unparsable,
        answersFailed: counts.failed,
        evidenceMissing: missing,
      },
    };
  } finally {
    progress.done();
  }
}
