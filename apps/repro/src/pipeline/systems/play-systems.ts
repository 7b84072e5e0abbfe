import { join } from "node:path";
import type { SystemOptions } from "@memory-r1/baselines";
import type { AnswerMemory } from "@memory-r1/core";
import {
  type ContextItem,
  type Conversation,
  type MemorySession,
  type MemorySystem,
  ModelCallError,
  type Question,
  type SystemAnswer,
  type SystemCounts,
} from "@memory-r1/spec";
import pLimit from "p-limit";
import type { RunContext } from "../../run-context.ts";
import type { Prediction } from "../answer-questions.ts";
import { createLockStep, type LaneModel } from "./lock-step.ts";
import { addUsage, type ModelUsage, noUsage } from "./model-usage.ts";
import { openJournals } from "./reply-journal.ts";
import type { TimedStep, Timings } from "./timings.ts";
import type { CountReplyTokens } from "./token-counter.ts";
import {
  askedQuestion,
  factsToldWith,
  openedConversation,
  type ReadFields,
  toldSession,
  toldTurn,
} from "./told-views.ts";

/** A question with what is wanted for it: the context for an Answer Agent, the system's own answer, or both. */
export interface LaneQuestion {
  readonly question: Question;
  readonly wantsContext: boolean;
  /** Where the system answers by itself; else its context is taken. */
  readonly wantsAnswer: boolean;
}

/** One conversation that is told to one system, and what it is asked afterwards. */
export interface SystemLane {
  readonly system: string;
  readonly conversation: Conversation;
  readonly questions: readonly LaneQuestion[];
}

/** What a system made of a conversation. */
export interface PlayedMemory {
  readonly turns: number;
  /** All that is in memory after the last turn. */
  readonly stored: readonly ContextItem[];
  /** Every text that was in memory after some turn. */
  readonly everStored: ReadonlySet<string>;
  readonly counts: SystemCounts;
  readonly usage: ModelUsage;
  /** Fields of what it was told and asked that it read. */
  readonly read: ReadonlySet<string>;
  /** Texts that the system itself had embedded, questions' searches included; undefined where it is not told. */
  readonly embeddedTexts: number | undefined;
  /** Those of them that it had embedded before the first question. */
  readonly embeddedWhileTold: number | undefined;
}

/** What a question came to in a system. */
export interface PlayedQuestion {
  /** Calls while it looked for context, and while it answered by itself. */
  readonly searchUsage: ModelUsage;
  readonly answerUsage: ModelUsage;
  /** What an Answer Agent is shown of what the system gave, in the order of its prompt; absent where it was not asked for it. */
  readonly context: readonly AnswerMemory[] | { readonly failed: string } | undefined;
  /** The system's own answer; absent where it gives none. */
  readonly answer: Omit<Prediction, "questionId"> | undefined;
  /** Replies on the way to its own answer that could not be read; absent without one, and where a call failed. */
  readonly unparsableReplies: number | undefined;
}

export interface PlayedConversation {
  readonly memory: PlayedMemory;
  readonly questions: ReadonlyMap<string, PlayedQuestion>;
}

/** System to conversation to what it came to. */
export type PlayedSystems = ReadonlyMap<string, ReadonlyMap<string, PlayedConversation>>;

export interface PlaySystemsOptions {
  readonly lanes: readonly SystemLane[];
  /** A fresh system; it is told one conversation. */
  readonly create: (system: string, options: SystemOptions) => MemorySystem;
  /** What every system is given; each gets the chat model and the embedding model behind meters. */
  readonly systemOptions: SystemOptions;
  readonly countTokens: CountReplyTokens;
  /** Lanes that are at work at a time. */
  readonly concurrent: number;
  /** Folder of the journals: `<system>/<conversation>.jsonl`. */
  readonly directory: string;
  readonly timings: Timings;
  readonly context: Pick<RunContext, "signal" | "startProgress">;
}

/**
 * Tells every system its conversations and asks it its questions, side by side, so that the chat model decodes for all
 * of them in one batch (see createLockStep); a conversation's own calls stay strictly in order. Every reply is kept, and
 * a run that goes on plays from the start with the replies that it has: nothing is asked twice, and since memories
 * begin empty in every process, nothing is ingested twice.
 * @throws ModelCallError where a turn's reply does not come: the run stops and can be resumed
 * @throws ResumeMismatchError where kept replies belong to other requests
 */
export async function playSystems(options: PlaySystemsOptions): Promise<PlayedSystems> {
  const { lanes, directory, context } = options;
  if (lanes.length === 0) return new Map();
  const { journals, nextRound } = await openJournals(
    lanes.map(({ system, conversation }) =>
      join(directory, system, `${fileName(conversation.id)}.jsonl`),
    ),
  );
  const lockStep = createLockStep({
    generator: options.systemOptions.generator,
    lanes: lanes.length,
    concurrent: options.concurrent,
    nextRound,
    countTokens: options.countTokens,
    signal: context.signal,
  });
  const turns = context.startProgress(
    "systems: turns",
    lanes.reduce((sum, { conversation }) => sum + turnsOf(conversation), 0),
  );
  const questions = context.startProgress(
    "systems: questions",
    lanes.reduce((sum, lane) => sum + lane.questions.length, 0),
  );
  const limit = pLimit(options.concurrent);
  let failure: { readonly error: unknown } | undefined;
  const played = await Promise.all(
    lanes.map((lane, index) =>
      limit(async () => {
        const journal = journals[index];
        if (failure !== undefined || journal === undefined) return undefined;
        const name = `${lane.system}, ${lane.conversation.id}`;
        try {
          return await playLane(options, lane, lockStep.lane(index, name, journal), {
            turn: () => {
              turns.note(name);
              turns.advance();
            },
            question: () => questions.advance(),
          });
        } catch (error) {
          failure ??= { error };
          lockStep.stop(error);
          return undefined;
        } finally {
          lockStep.end();
        }
      }),
    ),
  ).finally(() => {
    turns.done();
    questions.done();
  });
  if (failure !== undefined) throw failure.error;
  const systems = new Map<string, Map<string, PlayedConversation>>();
  for (const [index, { system, conversation }] of lanes.entries()) {
    const one = played[index];
    if (one === undefined) continue;
    const ofSystem = systems.get(system) ?? new Map<string, PlayedConversation>();
    ofSystem.set(conversation.id, one);
    systems.set(system, ofSystem);
  }
  return systems;
}

export function turnsOf({ sessions }: Conversation): number {
  return sessions.reduce((sum, { turns }) => sum + turns.length, 0);
}

async function playLane(
  options: PlaySystemsOptions,
  lane: SystemLane,
  model: LaneModel,
  progress: { readonly turn: () => void; readonly question: () => void },
): Promise<PlayedConversation> {
  const { conversation } = lane;
  const read: ReadFields = new Set();
  const everStored = new Set<string>();
  let usage = noUsage;
  let embeddedTexts = 0;
  let isToldAgain = false;
  const { embedding } = options.systemOptions;
  const own: SystemOptions = {
    ...options.systemOptions,
    generator: model.generator,
    embedding: {
      description: embedding.description,
      embed: (texts) => {
        if (!isToldAgain) embeddedTexts += texts.length;
        return embedding.embed(texts);
      },
    },
  };
  const timed = <T>(step: TimedStep, work: () => Promise<T>): Promise<T> =>
    options.timings.time(lane.system, step, work, {
      counts: () => !isToldAgain && model.step().replayed === 0,
    });

  const countStep = (): void => {
    if (!isToldAgain) usage = addUsage(usage, model.step());
  };

  const tell = async (
    onTurn: (session: MemorySession) => Promise<void>,
  ): Promise<MemorySession> => {
    model.startStep("open", { mustReply: true });
    const opened = openedConversation(conversation, read);
    const session = await options.create(lane.system, own).open(opened);
    try {
      countStep();
      for (const part of conversation.sessions) {
        for (const turn of part.turns) {
          options.context.signal.throwIfAborted();
          model.startStep(`turn ${turn.id}`, { mustReply: true });
          const facts = factsToldWith(turn.id, part, read);
          await timed("ingest", () =>
            session.ingest(toldTurn(turn, read), toldSession(part, turn.id, read), facts),
          );
          countStep();
          await onTurn(session);
        }
      }
      return session;
    } catch (error) {
      await session.close?.();
      throw error;
    }
  };

  let session = await tell(async (told) => {
    for (const { text } of await told.stored()) everStored.add(text);
    progress.turn();
  });

  /** A call that brings no reply makes the question ungraded; every other error is one of the program's. */
  const ask: AskSession = async (step, { id }, work) => {
    model.startStep(`${step} ${id}`, { mustReply: false });
    try {
      return { result: await timed(step, () => work(session)), spent: model.step() };
    } catch (error) {
      const spent = model.step();
      if (!(error instanceof ModelCallError) || spent.failed === 0) throw error;
      // The contract: a session whose model gave no reply is lost. It is built again of the replies that are kept.
      await session.close?.();
      isToldAgain = true;
      session = await tell(() => Promise.resolve());
      isToldAgain = false;
      return { result: { failed: error.message }, spent };
    }
  };

  const embeddedWhileTold = embeddedTexts;
  try {
    const stored = await session.stored();
    const counts = session.counts();
    const questions = new Map<string, PlayedQuestion>();
    for (const asked of lane.questions) {
      options.context.signal.throwIfAborted();
      const answersItself = session.answer !== undefined;
      const showsBestFirst = session.showsBestFirst ?? false;
      questions.set(
        asked.question.id,
        await playQuestion(asked, { ask, answersItself, showsBestFirst, conversation, read }),
      );
      progress.question();
    }
    const turns = turnsOf(conversation);
    return {
      memory: { turns, stored, everStored, counts, usage, read, embeddedTexts, embeddedWhileTold },
      questions,
    };
  } finally {
    await session.close?.();
  }
}

type Failed = { readonly failed: string };

/** Does one step for a question; its result is `failed` where the chat model gave no reply. */
type AskSession = <T>(
  step: "search" | "answer",
  question: Question,
  work: (session: MemorySession) => Promise<T>,
) => Promise<{ readonly result: T | Failed; readonly spent: ReturnType<LaneModel["step"]> }>;

async function playQuestion(
  { question, wantsContext, wantsAnswer }: LaneQuestion,
  {
    ask,
    answersItself,
    showsBestFirst,
    conversation,
    read,
  }: {
    readonly ask: AskSession;
    readonly answersItself: boolean;
    readonly showsBestFirst: boolean;
    readonly conversation: Conversation;
    readonly read: ReadFields;
  },
): Promise<PlayedQuestion> {
  let answer: PlayedQuestion["answer"];
  let unparsableReplies: PlayedQuestion["unparsableReplies"];
  let context: PlayedQuestion["context"];
  let answerUsage: ModelUsage = noUsage;
  let searchUsage: ModelUsage = noUsage;
  if (wantsAnswer && answersItself) {
    const { result, spent } = await ask("answer", question, async (session) =>
      session.answer?.(askedQuestion(question, read)),
    );
    answerUsage = addUsage(noUsage, spent);
    if (result !== undefined) answer = toPrediction(result, spent.lastReply, conversation);
    if (result !== undefined && !("failed" in result)) ({ unparsableReplies } = result);
  }
  if (wantsContext || (wantsAnswer && !answersItself)) {
    const { result, spent } = await ask("search", question, (session) =>
      session.context(askedQuestion(question, read)),
    );
    searchUsage = addUsage(noUsage, spent);
    if ("failed" in result) context = result;
    else {
      const items = showsBestFirst ? result : inConversationOrder(result, conversation);
      context = items.map((item) => toMemory(item, conversation));
    }
  }
  return { searchUsage, answerUsage, context, answer, unparsableReplies };
}

function toPrediction(
  answered: SystemAnswer | Failed,
  lastReply: string,
  conversation: Conversation,
): Omit<Prediction, "questionId"> {
  if ("failed" in answered) {
    return { memories: [], outcome: { status: "failed", reason: answered.failed } };
  }
  if (answered.status === "unparsable") {
    const { reason } = answered;
    return { memories: [], outcome: { status: "unparsable", reason, raw: lastReply } };
  }
  const { answer, replies, shown } = answered;
  return {
    memories: shown.map((item) => ({ ...toMemory(item, conversation) })),
    outcome: { status: "answered", answer, raw: replies.at(-1) ?? lastReply },
  };
}

/** The same order as for banks: what was said first comes first, what stems from no turn last. */
export function inConversationOrder(
  items: readonly ContextItem[],
  conversation: Conversation,
): readonly ContextItem[] {
  const turns = conversation.sessions.flatMap((session) => session.turns);
  const order = new Map(turns.map(({ id }, position) => [id, position]));
  const position = ({ sourceTurnIds: [first = ""] }: ContextItem): number =>
    order.get(first) ?? order.size;
  return items.toSorted((one, other) => position(one) - position(other));
}

/** Labelled with who said it, where that is one speaker: a window or a page can hold turns of several. */
export function toMemory(
  { text, date, sourceTurnIds }: ContextItem,
  { sessions }: Conversation,
): AnswerMemory {
  const sources = new Set(sourceTurnIds);
  const [speaker, ...others] = new Set(
    sessions.flatMap(({ turns }) =>
      turns.filter(({ id }) => sources.has(id)).map((turn) => turn.speaker),
    ),
  );
  return speaker === undefined || others.length > 0
    ? { text, date }
    : { text, date, participant: speaker };
}

/** An id as a file's name: what a file system may not take is escaped, so that two ids never share a file. */
function fileName(id: string): string {
  return encodeURIComponent(id).replaceAll("*", "%2A");
}
