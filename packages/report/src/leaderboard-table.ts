import type { AggregateRow } from "./aggregate-predictions.ts";
import { countColumns, type ResultTableOptions } from "./row-cells.ts";
import type { TableColumn, TableData, TableRow } from "./table.ts";

/**
 * Everything, for a CSV leaderboard: one row for each system, arm and scope. A scope is `all`, or a category by its
 * code (named under every scheme); where questions with known gold errors are left out, `-clean` follows.
 * Column names are stable and documented in this package's README; new ones are appended.
 */
export function leaderboardTable(
  rows: readonly AggregateRow[],
  options: Omit<ResultTableOptions, "notes">,
): TableData {
  const metrics = [...new Set(rows.flatMap((row) => Object.keys(row.metrics)))];
  const schemes = [...new Set(rows.flatMap((row) => Object.keys(row.categoryNames)))].sort();
  return {
    title: options.title,
    columns: [
      ...(options.labels ?? []),
      { key: "system", label: "System", kind: "text" },
      { key: "arm", label: "Arm", kind: "text" },
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
      { key: "knownIssues", label: "Known gold errors", kind: "text" },
      { key: "ceiling", label: "Ceiling", kind: "score" },
      { key: "conversations", label: "Conversations", kind: "count" },
      { key: "seeds", label: "Seeds", kind: "count" },
      ...metrics.flatMap((metric): TableColumn[] => [
        { key: `${metric}Wilson`, label: `${metric} 95 % interval (Wilson)`, kind: "interval" },
        { key: `${metric}Macro`, label: `${metric} over conversations`, kind: "score" },
        { key: `${metric}Macro`, label: "95 % interval", kind: "interval" },
        { key: `${metric}SeedMean`, label: `${metric} over seeds`, kind: "score" },
        { key: `${metric}SeedSd`, label: "± sd", kind: "score" },
      ]),
    ],
    rows: rows.map((row) => ({
      ...row.labels,
      system: row.system,
      arm: row.arm,
      scope: `${row.categoryCode ?? "all"}${row.knownIssues === "exclude" ? "-clean" : ""}`,
      ...Object.fromEntries(
        Object.entries(row.categoryNames).map(([scheme, name]) => [`name:${scheme}`, name]),
      ),
      questions: row.questions,
      knownIssues: row.knownIssues,
      ceiling: row.ceiling,
      conversations: row.conversations,
      seeds: row.seeds,
      ...scoresOf(row),
    })),
    notes: [],
  };
}

function scoresOf(row: AggregateRow): TableRow {
  const cells: Record<string, number | undefined> = {};
  for (const [metric, summary] of Object.entries(row.metrics)) {
    const { interval, wilson, macro, overSeeds } = summary;
    cells[metric] = summary.mean;
    cells[`${metric}Low`] = interval?.low;
    cells[`${metric}High`] = interval?.high;
    cells[`${metric}Graded`] = summary.graded;
    cells[`${metric}Ungraded`] = summary.ungraded;
    cells[`${metric}WilsonLow`] = wilson?.low;
    cells[`${metric}WilsonHigh`] = wilson?.high;
    cells[`${metric}Macro`] = macro?.mean;
    cells[`${metric}MacroLow`] = macro?.interval?.low;
    cells[`${metric}MacroHigh`] = macro?.interval?.high;
    cells[`${metric}SeedMean`] = overSeeds.mean;
    cells[`${metric}SeedSd`] = overSeeds.standardDeviation;
  }
  return cells;
}
