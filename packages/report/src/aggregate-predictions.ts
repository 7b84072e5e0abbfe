import {
  type BootstrapOptions,
  clusterBootstrap,
  type ClusterEstimate,
  computeScoreCeiling,
  type Interval,
  type SeedSummary,
  summariseOutcomes,
  summariseSeeds,
  wilsonOfOutcomes,
} from "@memory-r1/metrics";
import { createRandom, deriveSeed, type Random } from "@memory-r1/spec";
import {
  armKey,
  checkRecords,
  groupBy,
  outcomeOf,
  type PredictionRecord,
} from "./prediction-record.ts";

/** One metric over the answers of one row. */
export interface MetricSummary {
  /** Micro mean: every graded answer of every seed weighs the same. Undefined where none was graded. */
  readonly mean: number | undefined;
  /** Answers, not questions: with several seeds each question counts once a seed. */
  readonly graded: number;
  readonly ungraded: number;
  /** 95 % bootstrap interval of `mean`: questions are drawn, each with all its seeds. Absent for fewer than two. */
  readonly interval: Interval | undefined;
  /** 95 % Wilson interval, where there is one seed and every graded score is 0 or 1. */
  readonly wilson: Interval | undefined;
  /** Mean over conversations, each weighing the same; whole conversations are drawn for its 95 % interval. */
  readonly macro: ClusterEstimate | undefined;
  /** The micro means of the seeds: their mean, sample standard deviation and number. */
  readonly overSeeds: SeedSummary;
}

/** Whether questions whose gold answer is known to be wrong count. */
export const knownIssuesModes = ["include", "exclude"] as const;
export type KnownIssuesMode = (typeof knownIssuesModes)[number];

/** One system and arm, over one category or over all questions. */
export interface AggregateRow {
  /** What the caller tells rows of several aggregations apart by, such as the split; see AggregateOptions. */
  readonly labels: Readonly<Record<string, string>>;
  readonly knownIssues: KnownIssuesMode;
  readonly system: string;
  readonly arm: string;
  /** Undefined: all questions together (micro mean: every question counts the same). */
  readonly categoryCode: string | undefined;
  readonly categoryNames: Readonly<Record<string, string>>;
  /** Different questions, however many seeds answered them. */
  readonly questions: number;
  readonly conversations: number;
  readonly seeds: number;
  /** Share of the questions whose gold answer is not known to be wrong: what a perfect system would get. */
  readonly ceiling: number | undefined;
  readonly metrics: Readonly<Record<string, MetricSummary>>;
}

export interface AggregateOptions extends Pick<BootstrapOptions, "resamples"> {
  /** Seeds the resampling: equal records and seed give equal intervals. Default 0. */
  readonly seed?: number;
  /** Default `include`. */
  readonly knownIssues?: KnownIssuesMode;
  /** Copied into every row. */
  readonly labels?: Readonly<Record<string, string>>;
  /** The metrics that get bootstrap intervals and macro means, which is what takes time; default: all. */
  readonly intervalsOf?: readonly string[];
}

/**
 * Scores of every system and arm: one row for all questions, then one for each category by its code. Systems and arms
 * keep the order in which they first appear. Ungraded outcomes are counted and never read as 0.
 * @throws DataFormatError where the records contradict each other or a score is not finite.
 */
export function aggregatePredictions(
  allRecords: readonly PredictionRecord[],
  options: AggregateOptions = {},
): readonly AggregateRow[] {
  checkRecords(allRecords);
  const { seed = 0, knownIssues = "include", labels = {}, intervalsOf, resamples } = options;
  const bootstrapOptions = resamples === undefined ? {} : { resamples };
  const records = selectRecords(allRecords, knownIssues);
  const metricNames = [...new Set(records.flatMap((record) => Object.keys(record.outcomes)))];
  const summarise = (
    group: readonly PredictionRecord[],
    categoryCode: string | undefined,
  ): AggregateRow => {
    const { system = "", arm = "", categoryNames = {} } = group[0] ?? {};
    const questions = groupBy(group, (record) => record.questionId);
    const conversations = groupBy(group, (record) => record.conversationId);
    const seeds = groupBy(group, (record) => record.seed);
    const scope = categoryCode ?? "all questions";
    const summary = (metric: string): MetricSummary => {
      const outcomes = (ofGroup: readonly PredictionRecord[]) =>
        ofGroup.map((record) => outcomeOf(record, metric));
      // Generators of their own: the intervals of a row must not depend on which other rows there are.
      const random = (kind: string): Random =>
        createRandom(deriveSeed(seed, kind, system, arm, scope, metric));
      const all = outcomes(group);
      const hasIntervals = intervalsOf?.includes(metric) ?? true;
      return {
        ...summariseOutcomes(all),
        interval: hasIntervals
          ? clusterBootstrap([...questions.values()].map(outcomes), random("interval"), {
              ...bootstrapOptions,
              weighting: "micro",
            })?.interval
          : undefined,
        wilson: seeds.size === 1 ? wilsonOfOutcomes(all) : undefined,
        macro: hasIntervals
          ? clusterBootstrap(
              [...conversations.values()].map(outcomes),
              random("conversations"),
              bootstrapOptions,
            )
          : undefined,
        overSeeds: summariseSeeds(
          [...seeds.values()].map((ofSeed) => summariseOutcomes(outcomes(ofSeed)).mean),
        ),
      };
    };
    return {
      labels,
      knownIssues,
      system,
      arm,
      categoryCode,
      categoryNames: categoryCode === undefined ? {} : categoryNames,
      questions: questions.size,
      conversations: conversations.size,
      seeds: seeds.size,
      ceiling: computeScoreCeiling(
        [...questions.values()].map(([record]) => record?.hasCorruptGold ?? false),
      ),
      metrics: Object.fromEntries(metricNames.map((metric) => [metric, summary(metric)])),
    };
  };

  return [...groupBy(records, armKey).values()].flatMap((ofArm) => [
    summarise(ofArm, undefined),
    ...[...groupBy(ofArm, (record) => record.categoryCode)]
      .sort(([one], [other]) => one.localeCompare(other, "en", { numeric: true }))
      .map(([code, ofCategory]) => summarise(ofCategory, code)),
  ]);
}

/** The records that count. */
export function selectRecords(
  records: readonly PredictionRecord[],
  knownIssues: KnownIssuesMode,
): readonly PredictionRecord[] {
  return knownIssues === "include"
    ? records
    : records.filter((record) => record.hasCorruptGold !== true);
}
