import { baselines, createBaseline, type SystemOptions } from "@memory-r1/baselines";
import { type DatasetSplit, sampleQuestions } from "@memory-r1/datasets";
import { ConfigError, type Conversation, deriveSeed, type Question } from "@memory-r1/spec";
import { type Arm, evaluatedSplits, type Experiment } from "../experiment.ts";
import {
  type AnswerMemo,
  answerQuestions,
  createAnswerMemo,
  type Prediction,
  predictionsFile,
} from "./answer-questions.ts";
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
  /** Of the test conversations; to be refused, and scored apart. */
  readonly adversarial: readonly Question[];
}

/** All of them, in the order in which arms are asked. */
function askedQuestions(questions: EvaluatedQuestions): readonly Question[] {
  return [...questions.validation, ...questions.test, ...questions.adversarial];
}

export interface Evaluation {
  readonly questions: EvaluatedQuestions;
  /** Arm name to its predictions, in the order validation, test, adversarial. */
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
  const conversations = conversationsOf(services, askedQuestions(questions));
  const banks = await playManagers(
    services,
    conversationsByManager(services, arms, questions, conversations),
    conversations,
    agents.manager,
  );
  const predictions = new Map<string, readonly Prediction[]>();
  const memos: Readonly<Record<Arm["answer"], AnswerMemo>> = {
    untrained: createAnswerMemo(services.answerAgent),
    trained: createAnswerMemo(services.answerAgent),
  };
  const total = arms.reduce((sum, arm) => sum + askedOf(arm, questions).length, 0);
  const progress = services.context.startProgress("answers", total);
  try {
    for (const arm of arms) {
      progress.note(arm.name);
      const asked = askedOf(arm, questions);
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
          memo: memos[arm.answer],
          file: predictionsFile(services.runDirectory, arm.name),
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
  const { validation, testConversations, testSample, adversarialSample, arms } =
    experiment.evaluation;
  const drawn = drawConversations(splits.test.conversations, testConversations, experiment.seed);
  const ofDrawn = (questions: readonly Question[]): readonly Question[] =>
    questions.filter(({ conversationId }) => drawn.has(conversationId));
  const test = ofDrawn(splits.test.questions);
  const questions = {
    validation: validation ? splits.validation.questions : [],
    test:
      testSample === undefined || testSample >= test.length
        ? test
        : sampleQuestions(test, testSample, experiment.seed),
    adversarial: sampleQuestions(
      ofDrawn(splits.test.adversarialQuestions),
      adversarialSample,
      experiment.seed,
    ),
  };
  const conversations = new Set(
    askedQuestions(questions).map((question) => question.conversationId),
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

/** Ids of a seeded draw; all where no number is given. A smaller draw is part of every larger one of the same seed. */
function drawConversations(
  conversations: readonly Conversation[],
  count: number | undefined,
  seed: number,
): ReadonlySet<string> {
  const ranked = conversations
    .map(({ id }) => ({ id, rank: deriveSeed("draw-conversations", seed, id) }))
    .sort((one, other) => one.rank - other.rank || (one.id < other.id ? -1 : 1));
  return new Set(ranked.slice(0, count).map(({ id }) => id));
}

/** The questions that an arm is asked: validation, test, adversarial, which are of the test conversations. */
export function askedOf(arm: Arm, questions: EvaluatedQuestions): readonly Question[] {
  const ofSplits = evaluatedSplits.flatMap((split) =>
    arm.splits.includes(split) ? questions[split] : [],
  );
  return arm.splits.includes("test") ? [...ofSplits, ...questions.adversarial] : ofSplits;
}

/** What each Manager has to play: the conversations that its arms are asked about, or read as another's. */
function conversationsByManager(
  services: RunServices,
  arms: readonly Arm[],
  questions: EvaluatedQuestions,
  all: readonly Conversation[],
): ReadonlyMap<ManagerKind, readonly Conversation[]> {
  const asked = new Map<ManagerKind, Question[]>();
  const needsAll = new Set<ManagerKind>();
  for (const arm of arms) {
    if (arm.memory.kind !== "bank") continue;
    const { manager } = arm.memory;
    asked.set(manager, [...(asked.get(manager) ?? []), ...askedOf(arm, questions)]);
    if (arm.context === "other-conversation") needsAll.add(manager);
  }
  return new Map(
    [...asked].map(([manager, ofManager]) => [
      manager,
      needsAll.has(manager) ? all : conversationsOf(services, ofManager),
    ]),
  );
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
          createBaseline(
            knownName("baseline", arm.memory.baseline, baselines),
            systemOptions(services),
          ),
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

function systemOptions({ experiment, engine, ...services }: RunServices): SystemOptions {
  return {
    retriever: services.retriever,
    count: experiment.answer.memories,
    generator: services.base,
    embedding: services.embedding,
    countTokens: (text) => engine.tokenizer.encode(text).length,
    seed: experiment.seed,
    ...experiment.systems,
  };
}
