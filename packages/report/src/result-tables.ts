import type { AggregateRow } from "./aggregate-predictions.ts";
import type { TableColumn, TableData, TableRow } from "./table.ts";

/** A metric as a table shows it. */
export interface MetricColumn {
  /** Name in the predictions' outcomes. */
  readonly name: string;
  readonly label: string;
  /** Show the interval of the mean beside it; default false. */
  readonly showInterval?: boolean;
}

const identityColumns: readonly TableColumn[] = [
  { key: "system", label: "System", kind: "text" },
  { key: "arm", label: "Arm", kind: "text" },
];

/**
 * One row for each system and arm over all questions: the means, the intervals asked for, and the graded and ungraded
 * counts: one pair where all metrics agree on them, otherwise one pair for each metric.
 */
export function overallTable(
  rows: readonly AggregateRow[],
  options: {
    readonly title: string;
    readonly metrics: readonly MetricColumn[];
    readonly notes?: readonly string[];
  },
): TableData {
  const overall = rows.filter((row) => row.categoryCode === undefined);
  const [firstMetric] = options.metrics;
  const sameCounts = overall.every((row) =>
    options.metrics.every(
      ({ name }) => countsOf(row, name).graded === countsOf(row, firstMetric?.name ?? name).graded,
    ),
  );
  const metricColumns = options.metrics.flatMap(({ name, label, showInterval }): TableColumn[] => [
    { key: name, label, kind: "score" },
    ...(showInterval === true
      ? [{ key: name, label: "95 % interval", kind: "interval" as const }]
      : []),
    ...(sameCounts ? [] : countColumns(name, `${label} `)),
  ]);
  return {
    title: options.title,
    columns: [
      ...identityColumns,
      { key: "questions", label: "Questions", kind: "count" },
      ...metricColumns,
      ...(sameCounts && firstMetric !== undefined ? countColumns(firstMetric.name, "") : []),
    ],
    rows: overall.map((row) => ({
      ...identityOf(row),
      questions: row.questions,
      ...scoresOf(row),
    })),
    notes: options.notes ?? [],
  };
}

/** One row for each system and arm, one column for each category, in one metric. The last column is all questions. */
export function categoryTable(
  rows: readonly AggregateRow[],
  options: {
    readonly title: string;
    readonly metric: string;
    /** Naming scheme of the categories, such as `official` or `mem0`; a category without that name shows its code. */
    readonly naming: string;
    readonly notes?: readonly string[];
  },
): TableData {
  const overall = rows.filter((row) => row.categoryCode === undefined);
  const categories = new Map<string, string>();
  for (const row of rows) {
    if (row.categoryCode === undefined) continue;
    categories.set(row.categoryCode, row.categoryNames[options.naming] ?? row.categoryCode);
  }
  const columns = [...categories]
    .sort(([one], [other]) => one.localeCompare(other, "en", { numeric: true }))
    .map(([code, label]): TableColumn => ({ key: `category ${code}`, label, kind: "score" }));
  return {
    title: options.title,
    columns: [...identityColumns, ...columns, { key: "all", label: "All", kind: "score" }],
    rows: overall.map((row): TableRow => {
      const cells: Record<string, string | number | undefined> = {
        ...identityOf(row),
        all: row.metrics[options.metric]?.mean,
      };
      for (const part of rows) {
        if (part.categoryCode === undefined || part.system !== row.system || part.arm !== row.arm)
          continue;
        cells[`category ${part.categoryCode}`] = part.metrics[options.metric]?.mean;
      }
      return cells;
    }),
    notes: options.notes ?? [],
  };
}

/**
 * Everything, for a CSV leaderboard: one row for each system, arm and scope (`all`, or a category by its code, named
 * under every scheme), and for each metric its mean, interval and counts. Column names are stable:
 * `<metric>`, `<metric>Low`, `<metric>High`, `<metric>Graded`, `<metric>Ungraded`.
 */
export function leaderboardTable(rows: readonly AggregateRow[], title: string): TableData {
  const metrics = [...new Set(rows.flatMap((row) => Object.keys(row.metrics)))];
  const schemes = [...new Set(rows.flatMap((row) => Object.keys(row.categoryNames)))].sort();
  return {
    title,
    columns: [
      ...identityColumns,
      { key: "scope", label: "Scope", kind: "text" },
      ...schemes.map((scheme): TableColumn => ({
        key: `name:${scheme}`,
        label: `Name (${scheme})`,
        kind: "text",
      })),
      { key: "questions", label: "Questions", kind: "count" },
      ...metrics.flatMap((metric): TableColumn[] => [
        { key: metric, label: metric, kind: "score" },
        { key: metric, label: "95 % interval", kind: "interval" },
        ...countColumns(metric, `${metric} `),
      ]),
    ],
    rows: rows.map((row) => ({
      ...identityOf(row),
      scope: row.categoryCode ?? "all",
      ...Object.fromEntries(
        Object.entries(row.categoryNames).map(([scheme, name]) => [`name:${scheme}`, name]),
      ),
      questions: row.questions,
      ...scoresOf(row),
    })),
    notes: [],
  };
}

function identityOf({ system, arm }: AggregateRow): TableRow {
  return { system, arm };
}

function countsOf(row: AggregateRow, metric: string): { graded: number; ungraded: number } {
  const { graded = 0, ungraded = row.questions } = row.metrics[metric] ?? {};
  return { graded, ungraded };
}

function countColumns(metric: string, labelPrefix: string): TableColumn[] {
  return [
    { key: `${metric}Graded`, label: `${labelPrefix}Graded`, kind: "count" },
    { key: `${metric}Ungraded`, label: `${labelPrefix}Ungraded`, kind: "count" },
  ];
}

function scoresOf(row: AggregateRow): TableRow {
  const cells: Record<string, number | undefined> = {};
  for (const [metric, { mean, graded, ungraded, interval }] of Object.entries(row.metrics)) {
    cells[metric] = mean;
    cells[`${metric}Low`] = interval?.low;
    cells[`${metric}High`] = interval?.high;
    cells[`${metric}Graded`] = graded;
    cells[`${metric}Ungraded`] = ungraded;
  }
  return cells;
}
