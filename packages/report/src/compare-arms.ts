import { type ClusterEstimate, type Interval, pairedClusterBootstrap } from "@memory-r1/metrics";
import { createRandom, deriveSeed, type Outcome } from "@memory-r1/spec";
import { type AggregateOptions, selectRecords } from "./aggregate-predictions.ts";
import {
  type ArmName,
  armKey,
  checkRecords,
  groupBy,
  outcomeOf,
  type PredictionRecord,
} from "./prediction-record.ts";

/** The difference of two arms in one metric. */
export interface ArmComparison {
  /** Mean of (first - second): every pair of graded answers weighs the same. */
  readonly mean: number;
  /** 95 % paired bootstrap interval of `mean`: questions are drawn, each with all its seeds. Absent for fewer than two. */
  readonly interval: Interval | undefined;
  /** Pairs (a question under a seed) that were graded on both sides. */
  readonly count: number;
  /** Pairs in which a side was ungraded. */
  readonly leftOut: number;
  /** The difference as a mean over conversations, each weighing the same; whole conversations are drawn. */
  readonly macro: ClusterEstimate;
}

/**
 * Difference of two arms (first - second) in one metric over the questions that both answered under the same seed.
 * Undefined where none was graded on both sides.
 * @throws DataFormatError as aggregatePredictions
 */
export function compareArms(
  allRecords: readonly PredictionRecord[],
  comparison: { readonly metric: string; readonly first: ArmName; readonly second: ArmName },
  options: Pick<AggregateOptions, "seed" | "knownIssues" | "resamples"> = {},
): ArmComparison | undefined {
  checkRecords(allRecords);
  const { metric, first, second } = comparison;
  const { seed = 0, knownIssues = "include", resamples } = options;
  const bootstrapOptions = resamples === undefined ? {} : { resamples };
  const records = selectRecords(allRecords, knownIssues);
  const answerKey = ({ questionId, seed: ofRun }: PredictionRecord): string =>
    JSON.stringify([questionId, ofRun ?? null]);
  const ofArm = (name: ArmName): readonly PredictionRecord[] =>
    records.filter((record) => armKey(record) === armKey(name));
  const others = new Map(ofArm(second).map((record) => [answerKey(record), record]));
  const pairs = ofArm(first).flatMap((record): Pair[] => {
    const other = others.get(answerKey(record));
    return other === undefined
      ? []
      : [{ record, first: outcomeOf(record, metric), second: outcomeOf(other, metric) }];
  });
  const clustersBy = (keyOf: (pair: Pair) => string) =>
    [...groupBy(pairs, keyOf).values()].map((ofCluster) => ({
      first: ofCluster.map((pair) => pair.first),
      second: ofCluster.map((pair) => pair.second),
    }));
  const randomOf = (kind: string) =>
    createRandom(
      deriveSeed(seed, kind, metric, first.system, first.arm, second.system, second.arm),
    );
  const micro = pairedClusterBootstrap(
    clustersBy((pair) => pair.record.questionId),
    randomOf("difference"),
    { ...bootstrapOptions, weighting: "micro" },
  );
  const macro = pairedClusterBootstrap(
    clustersBy((pair) => pair.record.conversationId),
    randomOf("difference by conversation"),
    bootstrapOptions,
  );
  if (micro === undefined || macro === undefined) return undefined;
  const { mean, interval, count } = micro;
  return { mean, interval, count, leftOut: pairs.length - count, macro };
}

interface Pair {
  readonly record: PredictionRecord;
  readonly first: Outcome;
  readonly second: Outcome;
}
