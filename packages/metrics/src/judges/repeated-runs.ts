import type { Outcome } from "@memory-r1/spec";
import { summariseOutcomes } from "../statistics/summarise-outcomes.ts";
import { type SeedSummary, summariseSeeds } from "../statistics/summarise-seeds.ts";

/** The J of several runs of a judge over the same answers, as the Mem0 paper reports it: mean ± standard deviation. */
export interface RepeatedRuns extends Pick<SeedSummary, "mean" | "standardDeviation"> {
  /** Mean score of each run that graded anything, in order. */
  readonly scores: readonly number[];
}

/** @param runs the outcomes of all answers, for each run. */
export function summariseRepeatedRuns(runs: readonly (readonly Outcome[])[]): RepeatedRuns {
  const scores = runs.flatMap((outcomes) => summariseOutcomes(outcomes).mean ?? []);
  const { mean, standardDeviation } = summariseSeeds(scores);
  return { scores, mean, standardDeviation };
}
