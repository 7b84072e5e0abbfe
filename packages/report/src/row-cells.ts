import type { AggregateRow, MetricSummary } from "./aggregate-predictions.ts";
import type { TableColumn, TableRow } from "./table.ts";

/** What all tables of aggregate rows take. */
export interface ResultTableOptions {
  readonly title: string;
  /** Columns before system and arm: text, each with the value of the label of its key. */
  readonly labels?: readonly TableColumn[];
  readonly notes?: readonly string[];
}

/** The columns that say what a row is about; whether known issues count is told where some row leaves them out. */
export function identityColumns(
  rows: readonly AggregateRow[],
  labels: readonly TableColumn[] = [],
): readonly TableColumn[] {
  return [
    ...labels,
    { key: "system", label: "System", kind: "text" },
    { key: "arm", label: "Arm", kind: "text" },
    ...(rows.some((row) => row.knownIssues === "exclude")
      ? [{ key: "knownIssues", label: "Known gold errors", kind: "text" as const }]
      : []),
  ];
}

export function identityCells({ labels, system, arm, knownIssues }: AggregateRow): TableRow {
  return { ...labels, system, arm, knownIssues };
}

/** Equal for the rows of one table row: all categories of an arm. */
export function identityKey({ labels, system, arm, knownIssues }: AggregateRow): string {
  return JSON.stringify([Object.entries(labels), system, arm, knownIssues]);
}

/** The mean that a table shows: over seeds where there are several, so that it goes with the deviation beside it. */
export function shownMean(row: AggregateRow, metric: string): number | undefined {
  const summary = row.metrics[metric];
  return row.seeds > 1 ? summary?.overSeeds.mean : summary?.mean;
}

/**
 * The metric's interval over questions as a table shows it: Wilson's where every row has one (scores of 0 and 1),
 * otherwise the bootstrap's.
 */
export function shownInterval(
  rows: readonly AggregateRow[],
  metric: string,
): { readonly label: string; readonly of: (summary: MetricSummary) => MetricSummary["interval"] } {
  const summaries = rows.flatMap((row) => row.metrics[metric] ?? []);
  const areProportions =
    summaries.some(({ wilson }) => wilson !== undefined) &&
    summaries.every(({ wilson, graded }) => wilson !== undefined || graded === 0);
  return areProportions
    ? { label: "95 % interval (Wilson)", of: ({ wilson }) => wilson }
    : { label: "95 % interval", of: ({ interval }) => interval };
}

export function countsOf(row: AggregateRow, metric: string): { graded: number; ungraded: number } {
  const { graded = 0, ungraded = row.questions } = row.metrics[metric] ?? {};
  return { graded, ungraded };
}

export function countColumns(metric: string, labelPrefix: string): TableColumn[] {
  return [
    { key: `${metric}Graded`, label: `${labelPrefix}Graded`, kind: "count" },
    { key: `${metric}Ungraded`, label: `${labelPrefix}Ungraded`, kind: "count" },
  ];
}

/** Every row over all questions, in order. */
export function overallRows(rows: readonly AggregateRow[]): readonly AggregateRow[] {
  return rows.filter((row) => row.categoryCode === undefined);
}
