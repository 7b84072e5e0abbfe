import { baselines, createBaseline } from "@memory-r1/baselines";
import { type DatasetSplit, sampleQuestions } from "@memory-r1/datasets";
import { ConfigError, type Conversation, type Question } from "@memory-r1/spec";
import type { Arm, Experiment } from "../experiment.ts";
import { answerQuestions, type Prediction, predictionFile } from "./answer-questions.ts";
import {
  bankContext,
  type ContextSource,
  noContext,
  oracleContext,
  otherConversationContext,
  systemContext,
} from "./contexts.ts";
import { knownName } from "./known-name.ts";
import { type ManagerKind, type PlayedBanks, playManagers } from "./play-managers.ts";
import type { RunServices, TrainedAgent } from "./run-services.ts";

/** The questions of an evaluation, with the split that each belongs to. */
export interface EvaluatedQuestions {
  readonly validation: readonly Question[];
  readonly test: readonly Question[];
}

export interface Evaluation {
  readonly questions: EvaluatedQuestions;
  /** Arm name to its predictions, in the order validation, test. */
  readonly predictions: ReadonlyMap<string, readonly Prediction[]>;
  readonly banks: ReadonlyMap<ManagerKind, PlayedBanks>;
}

/** Every arm answers the same questions with the same prompt and code; only memory and weights differ. */
export async function evaluateArms(
  services: RunServices,
  agents: { readonly manager: TrainedAgent | undefined; readonly answer: TrainedAgent | undefined },
): Promise<Evaluation> {
  const { arms } = services.experiment.evaluation;
  const questions = chooseQuestions(services.experiment, services.splits);
  const asked = [...questions.validation, ...questions.test];
  const conversations = conversationsOf(services, asked);
  const kinds = new Set(
    arms.flatMap(({ memory }) => (memory.kind === "bank" ? [memory.manager] : [])),
  );
  const banks = await playManagers(services, kinds, conversations, agents.manager);
  const predictions = new Map<string, readonly Prediction[]>();
  const progress = services.context.startProgress("answers", asked.length * arms.length);
  try {
    for (const arm of arms) {
      progress.note(arm.name);
      const generator =
        arm.answer === "trained" && agents.answer !== undefined
          ? await services.trained(agents.answer)
          : services.base;
      predictions.set(
        arm.name,
        await answerQuestions({
          questions: asked,
          context: await contextOf(services, arm, banks, conversations),
          generator,
          agent: services.answerAgent,
          file: predictionFile(services.runDirectory, arm.name),
          progress,
          signal: services.context.signal,
        }),
      );
    }
  } finally {
    progress.done();
  }
  return { questions, predictions, banks };
}

/**
 * The questions that every arm will be asked.
 * @throws ConfigError where an arm cannot be asked them
 */
export function chooseQuestions(experiment: Experiment, splits: DatasetSplit): EvaluatedQuestions {
  const { validation, testSample, arms } = experiment.evaluation;
  const test = splits.test.questions;
  const questions = {
    validation: validation ? splits.validation.questions : [],
    test:
      testSample === undefined || testSample >= test.length
        ? test
        : sampleQuestions(test, testSample, experiment.seed),
  };
  const conversations = new Set(
    [...questions.validation, ...questions.test].map((question) => question.conversationId),
  );
  const control = arms.find((arm) => arm.context === "other-conversation");
  if (control !== undefined && conversations.size === 1) {
    throw new ConfigError(
      `arm "${control.name}" reads another conversation's memories, but all questions are about one conversation. ` +
        "Ask more questions (evaluation.validation, evaluation.testSample) or leave the arm out.",
    );
  }
  return questions;
}

function conversationsOf(services: RunServices, questions: readonly Question[]): Conversation[] {
  const ids = new Set(questions.map((question) => question.conversationId));
  return services.dataset.conversations.filter((conversation) => ids.has(conversation.id));
}

async function contextOf(
  services: RunServices,
  arm: Arm,
  banks: ReadonlyMap<ManagerKind, PlayedBanks>,
  conversations: readonly Conversation[],
): Promise<ContextSource> {
  const count = services.experiment.answer.memories;
  switch (arm.context) {
    case "none":
      return noContext;
    case "oracle":
      return oracleContext(conversations, count);
    case "retrieved":
    case "other-conversation": {
      if (arm.memory.kind === "baseline") {
        return systemContext(
          createBaseline(knownName("baseline", arm.memory.baseline, baselines), {
            retriever: services.retriever,
            count,
          }),
          conversations,
        );
      }
      const played = banks.get(arm.memory.manager);
      if (played === undefined) {
        throw new ConfigError(
          `arm "${arm.name}": no bank of the ${arm.memory.manager} Manager was made`,
        );
      }
      const own = new Map([...played].map(([id, episode]) => [id, episode.bank]));
      const source = arm.context === "retrieved" ? bankContext : otherConversationContext;
      return source(own, services.retriever, count);
    }
  }
}
