import { join } from "node:path";
import { baselines, createBaseline, type SystemOptions } from "@memory-r1/baselines";
import {
  type AnswerAgent,
  answerVariants,
  createAnswerAgent,
  createRerankingRetriever,
  type Retriever,
} from "@memory-r1/core";
import { type DatasetSplit, sampleQuestions } from "@memory-r1/datasets";
import {
  ConfigError,
  type Conversation,
  deriveSeed,
  type Question,
  type TextGenerator,
} from "@memory-r1/spec";
import { type Arm, evaluatedSplits, type Experiment, shownMemories } from "../experiment.ts";
import {
  type AnswerMemo,
  answerQuestions,
  createAnswerMemo,
  type Prediction,
  predictionsFile,
  writePredictions,
} from "./answer-questions.ts";
import {
  bankContext,
  type ContextSource,
  noContext,
  oracleContext,
  otherConversationContext,
  playedContext,
  storedContext,
} from "./contexts.ts";
import { knownName } from "./known-name.ts";
import { type ManagerKind, type PlayedBanks, playManagers } from "./play-managers.ts";
import type { RunServices, TrainedAgent } from "./run-services.ts";
import { reranks } from "./systems/arm-memory.ts";
import {
  type PlayedConversation,
  type PlayedQuestion,
  type PlayedSystems,
  playSystems,
  type SystemLane,
} from "./systems/play-systems.ts";
import { createTimings, type Timing, type Timings } from "./systems/timings.ts";
import { createTokenCounter } from "./systems/token-counter.ts";
import { createEvidenceFilter, toldPart } from "./told-part.ts";

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
  /** Of the baselines by name. */
  readonly systems: PlayedSystems;
  /** What was told of every conversation that is asked about. */
  readonly conversations: readonly Conversation[];
  /** How long things took, in every sitting. */
  readonly timings: readonly Timing[];
}

/** Every arm answers the same questions with the same prompt and code; only memory and weights differ. */
export async function evaluateArms(
  services: RunServices,
  agents: { readonly manager: TrainedAgent | undefined; readonly answer: TrainedAgent | undefined },
): Promise<Evaluation> {
  const timings = createTimings(join(services.runDirectory, "timings.jsonl"), () =>
    performance.now(),
  );
  try {
    const evaluation = await evaluateTimed(services, agents, timings);
    return { ...evaluation, timings: await timings.all() };
  } catch (error) {
    // Kept for the sitting that goes on.
    await timings.all();
    throw error;
  }
}

async function evaluateTimed(
  services: RunServices,
  agents: Parameters<typeof evaluateArms>[1],
  timings: Timings,
): Promise<Omit<Evaluation, "timings">> {
  const { arms } = services.experiment.evaluation;
  const questions = chooseQuestions(services.experiment, services.splits);
  const conversations = conversationsOf(services, askedQuestions(questions));
  const banks = await playManagers(
    services,
    conversationsByManager(services, arms, questions, conversations),
    conversations,
    agents.manager,
    timings,
  );
  const systems = await playSystems({
    lanes: systemLanes(arms, questions, conversations),
    create: (name, options) => createBaseline(knownName("baseline", name, baselines), options),
    systemOptions: systemOptions(services),
    countTokens: createTokenCounter(services.engine.tokenizer).ofReply,
    concurrent: services.experiment.systems.concurrent,
    directory: join(services.runDirectory, "systems"),
    timings,
    context: services.context,
  });
  const predictions = new Map<string, readonly Prediction[]>();
  // Equal prompts of one generator are answered once, whichever arm asks.
  const memos = new Map<string, AnswerMemo>();
  const total = arms.reduce((sum, arm) => sum + askedOf(arm, questions).length, 0);
  const progress = services.context.startProgress("answers", total);
  try {
    for (const arm of arms) {
      progress.note(arm.name);
      const asked = askedOf(arm, questions);
      const file = predictionsFile(services.runDirectory, arm.name);
      const played = playedFor(arm, systems);
      const ownAnswers =
        arm.answer === "untrained" && !reranks(arm) ? answersOf(played, asked) : undefined;
      if (ownAnswers !== undefined) {
        await writePredictions(file, ownAnswers);
        predictions.set(arm.name, ownAnswers);
        progress.advance(ownAnswers.length);
        continue;
      }
      const generator =
        arm.answer === "trained" && agents.answer !== undefined
          ? await services.trained(agents.answer)
          : services.base;
      const agent = answerAgentOf(services, arm);
      const memoKey = JSON.stringify([arm.answer, arm.answerVariant ?? null]);
      const memo = memos.get(memoKey) ?? createAnswerMemo(agent);
      memos.set(memoKey, memo);
      const context = contextOf(services, arm, { banks, played, conversations });
      predictions.set(
        arm.name,
        await answerQuestions({
          questions: asked,
          // A baseline's own context was timed when it was played.
          context:
            played === undefined || reranks(arm)
              ? (question) => timings.time(arm.name, "search", () => context(question))
              : context,
          generator: timedGenerator(generator, arm.name, timings),
          agent,
          memo,
          withoutContext: reranks(arm) ? new Map() : failedContexts(played, asked),
          file,
          progress,
          signal: services.context.signal,
        }),
      );
    }
  } finally {
    progress.done();
  }
  return { questions, predictions, banks, systems, conversations };
}

/** Every question of a batch waits until the batch is decoded. */
function timedGenerator(generator: TextGenerator, name: string, timings: Timings): TextGenerator {
  return {
    description: generator.description,
    generate: (requests) =>
      timings.time(name, "answer", () => generator.generate(requests), { count: requests.length }),
  };
}

/** The Answer Agent as an arm asks it: the experiment's, unless the arm is about another way. */
export function answerAgentOf(
  services: Pick<RunServices, "answerAgent">,
  { answerVariant }: Arm,
): AnswerAgent {
  if (answerVariant === undefined) return services.answerAgent;
  return createAnswerAgent({ variant: knownName("answer variant", answerVariant, answerVariants) });
}

/** Whether an arm reads what a baseline gives for its question. */
function readsBaseline(arm: Arm): string | undefined {
  if (arm.memory.kind !== "baseline") return undefined;
  // A system has no other conversation's memories to give: the arm that asks for them gets its own.
  return arm.context === "retrieved" || arm.context === "other-conversation"
    ? arm.memory.baseline
    : undefined;
}

/** What each baseline is told and asked, for all arms that read it: it is played once. */
function systemLanes(
  arms: readonly Arm[],
  questions: EvaluatedQuestions,
  conversations: readonly Conversation[],
): readonly SystemLane[] {
  const systems = new Set(arms.flatMap((arm) => readsBaseline(arm) ?? []));
  return [...systems].flatMap((system) => {
    const readers = arms.filter((arm) => readsBaseline(arm) === system);
    const asks = (answer: Arm["answer"]): ReadonlySet<Question> =>
      new Set(
        readers
          .filter((arm) => arm.answer === answer && !reranks(arm))
          .flatMap((arm) => askedOf(arm, questions)),
      );
    const [byUntrained, byTrained] = [asks("untrained"), asks("trained")];
    const toldFor = new Set(
      readers
        .filter(reranks)
        .flatMap((arm) => askedOf(arm, questions))
        .map((question) => question.conversationId),
    );
    return conversations.flatMap((conversation): readonly SystemLane[] => {
      const asked = askedQuestions(questions)
        .filter(({ conversationId }) => conversationId === conversation.id)
        .filter((question) => byUntrained.has(question) || byTrained.has(question))
        .map((question) => ({
          question,
          wantsContext: byTrained.has(question),
          wantsAnswer: byUntrained.has(question),
        }));
      return asked.length === 0 && !toldFor.has(conversation.id)
        ? []
        : [{ system, conversation, questions: asked }];
    });
  });
}

/** Conversation to what the arm's baseline made of it; undefined where the arm reads none. */
type PlayedOfArm = ReadonlyMap<string, PlayedConversation> | undefined;

function playedFor(arm: Arm, systems: PlayedSystems): PlayedOfArm {
  const baseline = readsBaseline(arm);
  return baseline === undefined ? undefined : (systems.get(baseline) ?? new Map());
}

function playedQuestion(
  played: PlayedOfArm,
  { id, conversationId }: Question,
): PlayedQuestion | undefined {
  return played?.get(conversationId)?.questions.get(id);
}

/** The answers of a system that answers by itself; undefined where it does not. */
function answersOf(
  played: PlayedOfArm,
  asked: readonly Question[],
): readonly Prediction[] | undefined {
  const answers = asked.flatMap((question) => {
    const answer = playedQuestion(played, question)?.answer;
    return answer === undefined ? [] : [{ questionId: question.id, ...answer }];
  });
  return answers.length === asked.length && asked.length > 0 ? answers : undefined;
}

/** Question id to why the system gave no context for it. */
function failedContexts(
  played: PlayedOfArm,
  asked: readonly Question[],
): ReadonlyMap<string, string> {
  return new Map(
    asked.flatMap((question): [string, string][] => {
      const context = playedQuestion(played, question)?.context;
      return context !== undefined && "failed" in context ? [[question.id, context.failed]] : [];
    }),
  );
}

/**
 * The questions that every arm will be asked.
 * @throws ConfigError where an arm cannot be asked them
 */
export function chooseQuestions(experiment: Experiment, splits: DatasetSplit): EvaluatedQuestions {
  const { validation, testConversations, testSample, adversarialSample, sessions, arms } =
    experiment.evaluation;
  const isWhollyTold = createEvidenceFilter(
    [...splits.validation.conversations, ...splits.test.conversations],
    sessions,
  );
  const drawn = drawConversations(splits.test.conversations, testConversations, experiment.seed);
  const ofDrawn = (questions: readonly Question[]): readonly Question[] =>
    questions.filter((question) => drawn.has(question.conversationId) && isWhollyTold(question));
  const test = ofDrawn(splits.test.questions);
  const questions = {
    validation: validation ? splits.validation.questions.filter(isWhollyTold) : [],
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
  return services.dataset.conversations
    .filter((conversation) => ids.has(conversation.id))
    .map((conversation) => toldPart(conversation, services.experiment.evaluation.sessions));
}

function contextOf(
  services: RunServices,
  arm: Arm,
  {
    banks,
    played: ofBaseline,
    conversations,
  }: {
    readonly banks: ReadonlyMap<ManagerKind, PlayedBanks>;
    readonly played: PlayedOfArm;
    readonly conversations: readonly Conversation[];
  },
): ContextSource {
  const count = shownMemories(services.experiment, arm);
  switch (arm.context) {
    case "none":
      return noContext;
    case "oracle":
      return oracleContext(conversations, count);
    case "retrieved":
    case "other-conversation": {
      const retriever = retrieverOf(services, arm);
      if (arm.memory.kind === "baseline") {
        return reranks(arm)
          ? storedContext(ofBaseline ?? new Map(), conversations, retriever, count)
          : playedContext(arm.memory.baseline, ofBaseline ?? new Map());
      }
      const played = banks.get(arm.memory.manager);
      if (played === undefined) {
        throw new ConfigError(
          `arm "${arm.name}": no bank of the ${arm.memory.manager} Manager was made`,
        );
      }
      const own = new Map([...played].map(([id, episode]) => [id, episode.bank]));
      const source = arm.context === "retrieved" ? bankContext : otherConversationContext;
      return source(own, retriever, count);
    }
  }
}

/** The comparison's retriever, behind the reranker where the arm has one. */
function retrieverOf(
  { retriever, reranker }: Pick<RunServices, "retriever" | "reranker">,
  { name, rerank }: Arm,
): Retriever {
  if (rerank === undefined) return retriever;
  if (reranker === undefined) throw new ConfigError(`arm "${name}": no reranker was started`);
  return createRerankingRetriever(retriever, reranker, rerank);
}

function systemOptions({ experiment, engine, ...services }: RunServices): SystemOptions {
  return {
    retriever: services.retriever,
    count: experiment.answer.memories,
    generator: services.base,
    embedding: services.embedding,
    countTokens: (text) => engine.tokenizer.encode(text).length,
    seed: experiment.seed,
    contextTokens: experiment.systems.contextTokens,
    replyTokens: experiment.systems.replyTokens,
    constrained: experiment.systems.constrained,
  };
}
