import type { AggregateRow } from "./aggregate-predictions.ts";
import { groupBy } from "./prediction-record.ts";
import {
  identityCells,
  identityColumns,
  identityKey,
  overallRows,
  type ResultTableOptions,
  shownMean,
} from "./row-cells.ts";
import type { TableColumn, TableData, TableRow } from "./table.ts";

/**
 * One row for each system and arm, one column for each category, in one metric. The last column is all questions.
 * Where gold answers are known to be wrong, a row below each label's systems has the ceilings.
 */
export function categoryTable(
  rows: readonly AggregateRow[],
  options: ResultTableOptions & {
    readonly metric: string;
    /** Naming scheme of the categories, such as `official` or `mem0`; a category without that name shows its code. */
    readonly naming: string;
  },
): TableData {
  const { metric, naming, labels, title, notes = [] } = options;
  const categories = new Map<string, string>();
  for (const row of rows) {
    if (row.categoryCode === undefined) continue;
    categories.set(row.categoryCode, row.categoryNames[naming] ?? row.categoryCode);
  }
  const columns = [...categories]
    .sort(([one], [other]) => one.localeCompare(other, "en", { numeric: true }))
    .map(([code, label]): TableColumn => ({ key: `category ${code}`, label, kind: "score" }));
  const parts = groupBy(rows, identityKey);
  const cellsOf = (
    row: AggregateRow,
    valueOf: (part: AggregateRow) => number | undefined,
  ): TableRow => ({
    all: valueOf(row),
    ...Object.fromEntries(
      (parts.get(identityKey(row)) ?? []).flatMap((part) =>
        part.categoryCode === undefined ? [] : [[`category ${part.categoryCode}`, valueOf(part)]],
      ),
    ),
  });
  const tableRows = [...groupBy(overallRows(rows), labelsKey).values()].flatMap((ofLabels) => [
    ...ofLabels.map((row) => ({
      ...identityCells(row),
      ...cellsOf(row, (part) => shownMean(part, metric)),
    })),
    // All systems answer the same questions: the first has the ceilings of all.
    ...ofLabels.slice(0, 1).flatMap((row): TableRow[] =>
      (row.ceiling ?? 1) < 1
        ? [
            {
              ...identityCells(row),
              system: "ceiling",
              arm: "",
              ...cellsOf(row, (part) => part.ceiling),
            },
          ]
        : [],
    ),
  ]);
  return {
    title,
    columns: [
      ...identityColumns(rows, labels),
      ...columns,
      { key: "all", label: "All", kind: "score" },
    ],
    rows: tableRows,
    notes,
  };
}

function labelsKey({ labels, knownIssues }: AggregateRow): string {
  return JSON.stringify([Object.entries(labels), knownIssues]);
}
