import type { AggregateRow } from "./aggregate-predictions.ts";
import {
  countColumns,
  countsOf,
  identityCells,
  identityColumns,
  overallRows,
  type ResultTableOptions,
  shownInterval,
  shownMean,
} from "./row-cells.ts";
import type { TableColumn, TableData } from "./table.ts";

/** A metric as a table shows it. */
export interface MetricColumn {
  /** Name in the predictions' outcomes. */
  readonly name: string;
  readonly label: string;
  /** Show the interval of the mean beside it; default false. */
  readonly showInterval?: boolean;
}

/**
 * One row for each system and arm over all questions: the means (with several seeds their standard deviation), the
 * intervals asked for, the ceiling where some gold answers are known to be wrong, and the graded and ungraded counts:
 * one pair where all metrics agree on them, otherwise one pair for each metric.
 */
export function overallTable(
  allRows: readonly AggregateRow[],
  options: ResultTableOptions & { readonly metrics: readonly MetricColumn[] },
): TableData {
  const rows = overallRows(allRows);
  const { metrics, labels, title, notes = [] } = options;
  const [firstMetric] = metrics;
  const sameCounts = rows.every((row) =>
    metrics.every(
      ({ name }) => countsOf(row, name).graded === countsOf(row, firstMetric?.name ?? name).graded,
    ),
  );
  const hasSeeds = rows.some((row) => row.seeds > 1);
  const hasCeiling = rows.some(({ ceiling = 1 }) => ceiling < 1);
  const metricColumns = metrics.flatMap(({ name, label, showInterval }): TableColumn[] => [
    { key: name, label, kind: "score" },
    ...(hasSeeds ? [{ key: `${name}SeedSd`, label: "± sd", kind: "score" as const }] : []),
    ...(showInterval === true
      ? [{ key: name, label: shownInterval(rows, name).label, kind: "interval" as const }]
      : []),
    ...(sameCounts ? [] : countColumns(name, `${label} `)),
  ]);
  return {
    title,
    columns: [
      ...identityColumns(rows, labels),
      ...(hasSeeds ? [{ key: "seeds", label: "Seeds", kind: "count" as const }] : []),
      { key: "questions", label: "Questions", kind: "count" },
      ...metricColumns,
      ...(hasCeiling ? [{ key: "ceiling", label: "Ceiling", kind: "score" as const }] : []),
      ...(sameCounts && firstMetric !== undefined ? countColumns(firstMetric.name, "") : []),
    ],
    rows: rows.map((row) => ({
      ...identityCells(row),
      seeds: row.seeds,
      questions: row.questions,
      ceiling: row.ceiling,
      ...Object.fromEntries(metrics.flatMap(({ name }) => metricCells(rows, row, name))),
    })),
    notes,
  };
}

function metricCells(
  rows: readonly AggregateRow[],
  row: AggregateRow,
  metric: string,
): readonly (readonly [string, number | undefined])[] {
  const summary = row.metrics[metric];
  const interval = summary && shownInterval(rows, metric).of(summary);
  const { graded, ungraded } = countsOf(row, metric);
  return [
    [metric, shownMean(row, metric)],
    [`${metric}SeedSd`, summary?.overSeeds.standardDeviation],
    [`${metric}Low`, interval?.low],
    [`${metric}High`, interval?.high],
    [`${metric}Graded`, graded],
    [`${metric}Ungraded`, ungraded],
  ];
}
