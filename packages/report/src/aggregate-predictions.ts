import {
  type BootstrapOptions,
  bootstrapMean,
  pairedBootstrap,
  summariseOutcomes,
} from "@memory-r1/metrics";
import type { PairedBootstrapEstimate } from "@memory-r1/metrics";
import { createRandom, DataFormatError, deriveSeed, type Outcome, ungraded } from "@memory-r1/spec";

/** One question answered by one arm of one system, scored by every metric. */
export interface PredictionRecord {
  readonly system: string;
  /** A variation of the system that the table keeps apart, such as `top 8` or `oracle evidence`; may be empty. */
  readonly arm: string;
  readonly questionId: string;
  /** The data set's own code. */
  readonly categoryCode: string;
  /** The category's name under every naming scheme (LoCoMo: `official`, `mem0`). */
  readonly categoryNames: Readonly<Record<string, string>>;
  /** Metric name to outcome. A metric that is absent counts as ungraded. */
  readonly outcomes: Readonly<Record<string, Outcome>>;
}

/** One metric over the questions of one row. */
export interface MetricSummary {
  /** Mean score of the graded questions; undefined where none was graded. */
  readonly mean: number | undefined;
  readonly graded: number;
  readonly ungraded: number;
  /** Bootstrap interval of the mean over questions. */
  readonly interval: { readonly low: number; readonly high: number } | undefined;
}

/** One system and arm, over one category or over all questions. */
export interface AggregateRow {
  readonly system: string;
  readonly arm: string;
  /** Undefined: all questions together (micro mean: every question counts the same). */
  readonly categoryCode: string | undefined;
  readonly categoryNames: Readonly<Record<string, string>>;
  readonly questions: number;
  readonly metrics: Readonly<Record<string, MetricSummary>>;
}

export interface AggregateOptions extends BootstrapOptions {
  /** Seeds the resampling: equal records and seed give equal intervals. Default 0. */
  readonly seed?: number;
}

/**
 * Scores of every system and arm: one row for all questions, then one for each category by its code. Systems and arms
 * keep the order in which they first appear. Ungraded outcomes are counted and never read as 0.
 * @throws DataFormatError where a question stands twice in one arm, a score is not finite, or one code has two names.
 */
export function aggregatePredictions(
  records: readonly PredictionRecord[],
  options: AggregateOptions = {},
): readonly AggregateRow[] {
  checkRecords(records);
  const metricNames = [...new Set(records.flatMap((record) => Object.keys(record.outcomes)))];
  const summarise = (
    group: readonly PredictionRecord[],
    categoryCode: string | undefined,
  ): AggregateRow => {
    const { system = "", arm = "", categoryNames = {} } = group[0] ?? {};
    const summary = (metric: string): MetricSummary => {
      const outcomes = group.map((record) => record.outcomes[metric] ?? notComputed);
      // A generator of its own: the interval of a row must not depend on which other rows there are.
      const random = createRandom(
        deriveSeed(
          options.seed ?? 0,
          "interval",
          system,
          arm,
          categoryCode ?? "all questions",
          metric,
        ),
      );
      const estimate = bootstrapMean(outcomes, random, options);
      return {
        ...summariseOutcomes(outcomes),
        interval: estimate === undefined ? undefined : { low: estimate.low, high: estimate.high },
      };
    };
    return {
      system,
      arm,
      categoryCode,
      categoryNames: categoryCode === undefined ? {} : categoryNames,
      questions: group.length,
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

/** Which predictions of a list: one arm of one system. */
export interface ArmName {
  readonly system: string;
  readonly arm: string;
}

/**
 * Difference of two arms (first - second) in one metric over the questions that both answered, with its paired
 * bootstrap interval. Undefined where no question was graded on both sides.
 */
export function compareArms(
  records: readonly PredictionRecord[],
  comparison: { readonly metric: string; readonly first: ArmName; readonly second: ArmName },
  options: AggregateOptions = {},
): PairedBootstrapEstimate | undefined {
  checkRecords(records);
  const { metric, first, second } = comparison;
  const outcomesOf = (name: ArmName): Map<string, Outcome> =>
    new Map(
      records
        .filter((record) => armKey(record) === armKey(name))
        .map((record) => [record.questionId, record.outcomes[metric] ?? notComputed]),
    );
  const ofSecond = outcomesOf(second);
  const pairs = [...outcomesOf(first)].flatMap(([questionId, one]) => {
    const other = ofSecond.get(questionId);
    return other === undefined ? [] : [{ one, other }];
  });
  const random = createRandom(
    deriveSeed(
      options.seed ?? 0,
      "difference",
      metric,
      first.system,
      first.arm,
      second.system,
      second.arm,
    ),
  );
  return pairedBootstrap(
    pairs.map(({ one }) => one),
    pairs.map(({ other }) => other),
    random,
    options,
  );
}

const notComputed = ungraded("metric not computed");

function armKey({ system, arm }: ArmName): string {
  return JSON.stringify([system, arm]);
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}

function checkRecords(records: readonly PredictionRecord[]): void {
  const seen = new Set<string>();
  const namesOfCode = new Map<string, string>();
  const fail = (path: string, problem: string, fix: string): never => {
    throw new DataFormatError({ source: "predictions", path, problem, fix });
  };
  for (const record of records) {
    const path = `${record.system}/${record.arm}/${record.questionId}`;
    const key = JSON.stringify([record.system, record.arm, record.questionId]);
    if (seen.has(key))
      fail(path, "this question is answered twice", "keep one answer for each question of an arm");
    seen.add(key);
    const names = JSON.stringify(
      Object.entries(record.categoryNames).sort(([one], [other]) => one.localeCompare(other)),
    );
    const known = namesOfCode.get(record.categoryCode) ?? names;
    if (known !== names) {
      fail(
        path,
        `category ${record.categoryCode} is ${names} here and ${known} before`,
        "take both from one data set",
      );
    }
    namesOfCode.set(record.categoryCode, names);
    for (const [metric, outcome] of Object.entries(record.outcomes)) {
      if (outcome.status === "graded" && !Number.isFinite(outcome.score)) {
        fail(
          `${path}/${metric}`,
          `the score is ${outcome.score}`,
          "a metric must be finite for every text",
        );
      }
    }
  }
}
