import type { Outcome, Random } from "@memory-r1/spec";
import { subtractOutcomes } from "./paired-outcomes.ts";
import { type BootstrapOptions, bootstrapInterval, type Interval } from "./resample.ts";
import { computeSum, gradedScores } from "./summarise-outcomes.ts";

/**
 * What is averaged once whole clusters are drawn.
 * - `macro`: the clusters' means, each weighing the same.
 * - `micro`: all graded outcomes of the drawn clusters, each weighing the same.
 */
export type ClusterWeighting = "macro" | "micro";

export interface ClusterBootstrapOptions extends BootstrapOptions {
  /** Default `macro`. */
  readonly weighting?: ClusterWeighting;
}

export interface ClusterEstimate {
  readonly mean: number;
  /** Absent for one cluster: how much clusters differ cannot be told from one. */
  readonly interval: Interval | undefined;
  /** Clusters in which anything was graded; the others are left out. */
  readonly clusters: number;
  /** Graded outcomes in all of them. */
  readonly count: number;
}

/**
 * A mean over clusters of outcomes that depend on each other (the questions of one conversation, one question's
 * answers under several seeds), with the percentile interval of a bootstrap that draws whole clusters with replacement
 * (Davison and Hinkley 1997, section 3.8). With few clusters (LoCoMo's test split has 8) the interval is a rough one,
 * and rather too narrow. Ungraded outcomes are left out; undefined where nothing was graded.
 * @throws HarnessError where an option is out of range.
 */
export function clusterBootstrap(
  clusters: Iterable<readonly Outcome[]>,
  random: Random,
  options: ClusterBootstrapOptions = {},
): ClusterEstimate | undefined {
  const { weighting = "macro", ...bootstrapOptions } = options;
  const scores = [...clusters].map(gradedScores).filter(({ length }) => length > 0);
  const units = scores.map((ofCluster) => {
    const sum = computeSum(ofCluster);
    return weighting === "macro"
      ? { sum: sum / ofCluster.length, weight: 1 }
      : { sum, weight: ofCluster.length };
  });
  const interval = bootstrapInterval(units, random, bootstrapOptions);
  if (interval === undefined) return undefined;
  return {
    mean: computeSum(units.map(({ sum }) => sum)) / computeSum(units.map(({ weight }) => weight)),
    interval: units.length < 2 ? undefined : interval,
    clusters: units.length,
    count: computeSum(scores.map(({ length }) => length)),
  };
}

/** One cluster's outcomes of two systems; position i of both lists is the same question. */
export interface PairedCluster {
  readonly first: readonly Outcome[];
  readonly second: readonly Outcome[];
}

/**
 * The difference (first - second) of two systems over the same clusters: whole clusters of paired questions are drawn.
 * Pairs with an ungraded side are left out; undefined where no pair is left.
 * @throws HarnessError where a cluster's lists differ in length or an option is out of range.
 */
export function pairedClusterBootstrap(
  clusters: Iterable<PairedCluster>,
  random: Random,
  options: ClusterBootstrapOptions = {},
): ClusterEstimate | undefined {
  return clusterBootstrap(
    [...clusters].map(({ first, second }) => subtractOutcomes(first, second)),
    random,
    options,
  );
}
