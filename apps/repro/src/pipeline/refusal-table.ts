import { aggregatePredictions, type AggregateRow, type TableData } from "@memory-r1/report";
import type { Experiment } from "../experiment.ts";
import { refusalMetric, type ScoredSplit, splitColumn } from "./score-predictions.ts";

/**
 * How each system does on questions that the conversation does not answer, beside one that refuses everything: what
 * refusing costs on all other questions stands in the same row. Undefined where there is nothing to refuse.
 */
export function refusalTable(
  experiment: Experiment,
  scored: readonly ScoredSplit[],
  { mainMetric }: { readonly mainMetric: string },
): TableData | undefined {
  const splits = scored.filter(({ toRefuse }) => toRefuse.length > 0);
  if (splits.length === 0) return undefined;
  const overall = (records: ScoredSplit["records"]): readonly AggregateRow[] =>
    aggregatePredictions(records, { seed: experiment.seed, intervalsOf: [refusalMetric] }).filter(
      (row) => row.categoryCode === undefined,
    );
  return {
    title: "Questions that the conversation does not answer",
    columns: [
      splitColumn,
      { key: "system", label: "System", kind: "text" },
      { key: "arm", label: "Arm", kind: "text" },
      { key: "questions", label: "To refuse", kind: "count" },
      { key: "refused", label: "Refused", kind: "score" },
      { key: "refused", label: "95 % interval", kind: "interval" },
      { key: "graded", label: "Graded", kind: "count" },
      { key: "ungraded", label: "Ungraded", kind: "count" },
      { key: "answerable", label: "To answer", kind: "count" },
      { key: "wronglyRefused", label: "Wrongly refused", kind: "score" },
      { key: mainMetric, label: mainMetric, kind: "score" },
    ],
    rows: splits.flatMap(({ split, toRefuse, toAnswer }) => {
      const answerable = overall(toAnswer);
      return overall(toRefuse).map((row) => {
        const refused = row.metrics[refusalMetric];
        const others = answerable.find(
          ({ system, arm }) => system === row.system && arm === row.arm,
        );
        // Wilson's of one seed; over several, questions are drawn with all their seeds.
        const interval = refused?.wilson ?? refused?.interval;
        return {
          split,
          system: row.system,
          arm: row.arm,
          questions: row.questions,
          refused: refused?.mean,
          refusedLow: interval?.low,
          refusedHigh: interval?.high,
          graded: refused?.graded,
          ungraded: refused?.ungraded,
          answerable: others?.questions ?? 0,
          wronglyRefused: others?.metrics[refusalMetric]?.mean,
          [mainMetric]: others?.metrics[mainMetric]?.mean,
        };
      });
    }),
    notes: [
      "Refused: share of replies that decline, by the official rule of LoCoMo's category 5.",
      "Read it beside the row of the system that always refuses, and beside what refusing costs on the other questions.",
    ],
  };
}
