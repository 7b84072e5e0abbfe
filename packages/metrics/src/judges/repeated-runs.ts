import type { Outcome } from "@memory-r1/spec";
import { summariseOutcomes } from "../statistics.ts";

/** The J of several runs of a judge over the same answers, as the Mem0 paper reports it: mean ± standard deviation. */
export interface RepeatedRuns {
  /** Mean score of each run that graded anything, in order. */
  readonly scores: readonly number[];
  /** Undefined where no run graded anything. */
  readonly mean: number | undefined;
  /** Of the runs' scores, with n - 1; undefined below two runs. */
  readonly standardDeviation: number | undefined;
}

/** @param runs the outcomes of all answers, for each run. */
export function summariseRepeatedRuns(runs: readonly (readonly Outcome[])[]): RepeatedRuns {
  const scores = runs.flatMap((outcomes) => summariseOutcomes(outcomes).mean ?? []);
  if (scores.length === 0) return { scores, mean: undefined, standardDeviation: undefined };
  const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length;
  const squares = scores.reduce((sum, score) => sum + (score - mean) ** 2, 0);
  return {
    scores,
    mean,
    standardDeviation: scores.length < 2 ? undefined : Math.sqrt(squares / (scores.length - 1)),
  };
}
