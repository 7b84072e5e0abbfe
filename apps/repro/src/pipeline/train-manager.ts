import {
  type CurriculumOptions,
  createManagerEnvironment,
  evidenceMissingMetric,
} from "@memory-r1/core";
import { createHeldTurns } from "@memory-r1/metrics";
import { ConfigError, deriveSeed } from "@memory-r1/spec";
import type { TrainingStage } from "../experiment.ts";
import { judgeManager } from "./judge-manager.ts";
import { playValidation } from "./play-validation.ts";
import type { RunServices, TrainedAgent } from "./run-services.ts";
import { createTokenCounter } from "./systems/token-counter.ts";
import { trainStage } from "./train-stage.ts";

/**
 * Trains the Memory Manager against a frozen Answer Agent (paper, Algorithm 5, first stage): the trained one where an
 * earlier stage made it, otherwise the base model. What decides which checkpoint is kept is not the reward but episodes
 * on the validation conversations, from the empty bank on: the answers to everything that was said, and whether more of
 * the evidence is gone from the banks than under the untrained Manager.
 */
export async function trainManager(
  services: RunServices,
  stage: TrainingStage,
  agents: { readonly manager: TrainedAgent | undefined; readonly answer: TrainedAgent | undefined },
): Promise<TrainedAgent> {
  const { experiment, splits, context } = services;
  const { episode } = stage;
  if (splits.train.conversations.length === 0)
    throw new ConfigError("the training split holds no conversation");
  const reader = {
    generator: agents.answer === undefined ? services.base : await services.trained(agents.answer),
    agent: services.answerAgent,
    retriever: services.retriever,
    count: experiment.answer.memories,
  };
  const grade = services.grader(stage.reward);
  const { ofText } = createTokenCounter(services.engine.tokenizer);
  const sessions = sessionsOf(episode);
  const environment = createManagerEnvironment({
    conversations: splits.train.conversations,
    questions: splits.train.questions,
    tasksPerStep: stage.tasksPerStep,
    seed: deriveSeed(experiment.seed, stage.name),
    manager: services.manager,
    reader,
    grade,
    factsPerEpisode: episode.facts,
    emptyBankShare: episode.emptyBankShare,
    bankSizes: episode.bankSizes,
    newFactWeight: episode.newFactWeight,
    maxNewFactQuestions: episode.maxNewFactQuestions,
    maxShownQuestions: episode.maxShownQuestions,
    maxEpisodeQuestions: episode.maxEpisodeQuestions,
    invalidPenalty: episode.invalidPenalty,
    createHeldTurns,
    ...(sessions === undefined ? {} : { sessions }),
    ...(episode.localShare === 0
      ? {}
      : { local: { share: episode.localShare, samples: episode.localSamples } }),
    ...(episode.compressionWeight === 0
      ? {}
      : {
          compression: {
            weight: episode.compressionWeight,
            freeShare: episode.compressionFreeShare,
            countTokens: ofText,
          },
        }),
  });
  return trainStage(services, stage, {
    environment,
    maxTokens: experiment.manager.maxTokens,
    startFrom: agents.manager,
    evaluate: async (generator, untrained) =>
      judgeManager(
        await playValidation({
          part: splits.validation,
          manager: services.manager,
          generator,
          maxTokens: experiment.manager.maxTokens,
          reader,
          grade,
          facts: episode.validationFacts,
          temperature: episode.validationTemperature,
          seeds: episode.validationSeeds,
          seed: experiment.seed,
          startProgress: (decisions) =>
            context.startProgress(`${stage.name}: validation episode`, decisions),
          signal: context.signal,
        }),
        {
          missingBefore: untrained?.metrics[evidenceMissingMetric],
          rollBackMissing: episode.rollBackMissing,
        },
      ),
  });
}

function sessionsOf({
  sessions,
  maxEvidenceMissing,
}: TrainingStage["episode"]): number | CurriculumOptions | undefined {
  return Array.isArray(sessions) ? { sessions, maxEvidenceMissing } : sessions;
}
