import {
  answerAll,
  datedFacts,
  evidenceMissingMetric,
  gradeAnswers,
  type MemoryManager,
  type Retriever,
  type AnswerAgent,
  type AnswerGrader,
  selectMemories,
} from "@memory-r1/core";
import type { SplitPart } from "@memory-r1/datasets";
import {
  createHeldTurns,
  evidenceMissing,
  type SeedSummary,
  summariseSeeds,
} from "@memory-r1/metrics";
import { ConfigError, type TextGenerator } from "@memory-r1/spec";
import type { ProgressTask } from "../run-context.ts";
import type { PlayedValidation } from "./judge-manager.ts";
import {
  countDecisions,
  type Lane,
  operationMetrics,
  type PlayedEpisode,
  playEpisodes,
} from "./play-episodes.ts";
import { summariseAnswers } from "./score-answers.ts";

export interface PlayValidationOptions {
  readonly part: SplitPart;
  readonly manager: MemoryManager;
  /** The Manager as it is trained so far. */
  readonly generator: TextGenerator;
  readonly maxTokens: number;
  readonly reader: {
    readonly generator: TextGenerator;
    readonly agent: AnswerAgent;
    readonly retriever: Retriever;
    readonly count: number;
  };
  readonly grade: AnswerGrader;
  /** Facts of each conversation that are played, and asked about. */
  readonly facts: number | "all";
  /** 0 plays greedily, 1 the distribution that is trained. */
  readonly temperature: number;
  /** How often every conversation is played. */
  readonly seeds: number;
  readonly seed: number;
  /** Is told the number of decisions, and gives what to show them with. */
  readonly startProgress: (decisions: number) => ProgressTask;
  readonly signal: AbortSignal;
}

/**
 * Plays the validation conversations from the empty bank on, as often as there are seeds, all side by side, and asks the
 * frozen reader everything that was said. Metrics are sums over the conversations and means over the seeds; of more than
 * one seed the sample deviations of score and evidence missing are among them.
 * @throws ConfigError where the part holds no conversation
 */
export async function playValidation(options: PlayValidationOptions): Promise<PlayedValidation> {
  const { part, reader } = options;
  if (part.conversations.length === 0)
    throw new ConfigError("the validation split holds no conversation");
  const sittings = Array.from({ length: options.seeds }, (_, seed) => lanesOf(options, seed));
  const lanes = sittings.flat();
  const progress = options.startProgress(countDecisions(lanes));
  try {
    const played = await playEpisodes({
      lanes,
      generator: options.generator,
      maxTokens: options.maxTokens,
      seed: options.seed,
      temperature: options.temperature,
      file: undefined,
      progress,
      signal: options.signal,
    });
    const asked = sittings.map((sitting) =>
      sitting.map((lane) => {
        const episode = played.get(lane.key);
        if (episode === undefined) throw new RangeError(`${lane.key} was not played`);
        return { lane, episode, questions: questionsOf(options, lane) };
      }),
    );
    const requests = await Promise.all(
      asked.flat().flatMap(({ episode, questions }) =>
        questions.map(async (question) => ({
          question,
          memories: await selectMemories({
            bank: episode.bank,
            question: question.text,
            retriever: reader.retriever,
            count: reader.count,
          }),
        })),
      ),
    );
    const { generator, agent } = reader;
    const answers = await answerAll({ generator, agent, requests });
    const scores = await gradeAnswers(
      options.grade,
      answers,
      requests.map(({ question }) => question),
    );
    let next = 0;
    const ofSeeds = asked.map((sitting): OfSeed => {
      const begin = next;
      next += sitting.reduce((sum, { questions }) => sum + questions.length, 0);
      const { mean, counts } = summariseAnswers(
        answers.slice(begin, next),
        scores.slice(begin, next),
      );
      return {
        answerScore: mean,
        missing: missingOf(sitting),
        metrics: {
          ...sumOf(sitting.map(({ episode }) => operationMetrics(episode))),
          facts: sitting.reduce((sum, { episode }) => sum + episode.facts.length, 0),
          answersGraded: counts.graded,
          answersUnparsable: counts.unparsable,
          answersFailed: counts.failed,
        },
      };
    });
    const banks = asked.flat().map(({ episode }) => episode.bank);
    return summarise(ofSeeds, banks.filter((bank) => bank.size() === 0).length);
  } finally {
    progress.done();
  }
}

type Sitting = readonly {
  readonly lane: Lane;
  readonly episode: PlayedEpisode;
  readonly questions: SplitPart["questions"];
}[];

/** What came of one playing of all conversations. */
interface OfSeed {
  readonly answerScore: number | undefined;
  readonly missing: number | undefined;
  readonly metrics: Readonly<Record<string, number>>;
}

/** Seeds derive from lanes' keys; the first seed's are the conversations' own. */
function lanesOf({ part, manager, facts }: PlayValidationOptions, seed: number): Lane[] {
  return part.conversations.map((conversation) => ({
    key: seed === 0 ? conversation.id : `${conversation.id}, seed ${seed}`,
    manager,
    conversation,
    ...(facts === "all" ? {} : { facts: datedFacts(conversation).slice(0, facts) }),
  }));
}

/** Asked is what has been said: everything when the episode is whole, else what its facts were drawn from. */
function questionsOf(
  { part }: PlayValidationOptions,
  { conversation, facts }: Lane,
): SplitPart["questions"] {
  const said = new Set((facts ?? []).flatMap(({ fact }) => fact.sourceTurnIds));
  return part.questions.filter(
    ({ conversationId, evidenceTurnIds }) =>
      conversationId === conversation.id &&
      (facts === undefined || evidenceTurnIds.every((turnId) => said.has(turnId))),
  );
}

/** Over all conversations; ids of turns are unique inside one alone. */
function missingOf(sitting: Sitting): number | undefined {
  const idIn = (lane: Lane, turnId: string): string => `${lane.conversation.id} ${turnId}`;
  return evidenceMissing(
    sitting.flatMap(({ lane, questions }) =>
      questions.map(({ evidenceTurnIds }) => evidenceTurnIds.map((turnId) => idIn(lane, turnId))),
    ),
    sitting.flatMap(({ lane, episode }) => {
      const held = createHeldTurns(episode.facts.map(({ fact }) => fact));
      const turnIds = held(episode.bank.entries().map(({ text }) => text));
      return [...turnIds].map((turnId) => idIn(lane, turnId));
    }),
  );
}

function summarise(ofSeeds: readonly OfSeed[], emptyBanks: number): PlayedValidation {
  const answerScore = summariseSeeds(ofSeeds.flatMap((seed) => seed.answerScore ?? []));
  const missing = summariseSeeds(ofSeeds.flatMap((seed) => seed.missing ?? []));
  const sums = sumOf(ofSeeds.map(({ metrics }) => metrics));
  const means = Object.entries(sums).map(([name, sum]) => [name, sum / ofSeeds.length] as const);
  return {
    answerScore: answerScore.mean,
    missing: missing.mean,
    emptyBanks,
    metrics: {
      ...Object.fromEntries(means),
      ...spreadOf("answerScore", answerScore),
      ...spreadOf(evidenceMissingMetric, missing),
    },
  };
}

/** Absent is the mean of nothing, and the deviation of fewer than two. */
function spreadOf(name: string, { mean, standardDeviation }: SeedSummary): Record<string, number> {
  return {
    ...(mean === undefined ? {} : { [name]: mean }),
    ...(standardDeviation === undefined ? {} : { [`${name}Deviation`]: standardDeviation }),
  };
}

function sumOf(records: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const sums: Record<string, number> = {};
  for (const record of records)
    for (const [name, value] of Object.entries(record)) sums[name] = (sums[name] ?? 0) + value;
  return sums;
}
