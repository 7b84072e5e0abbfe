import type { AggregateRow } from "./aggregate-predictions.ts";
import {
  identityCells,
  identityColumns,
  overallRows,
  type ResultTableOptions,
  shownInterval,
} from "./row-cells.ts";
import type { TableColumn, TableData } from "./table.ts";

/**
 * One metric averaged in every way, one row for each system and arm: over questions with the interval of drawn
 * questions (Wilson's for scores of 0 and 1), over conversations with that of drawn conversations, and over seeds with
 * their standard deviation where there are several.
 */
export function averagesTable(
  allRows: readonly AggregateRow[],
  options: ResultTableOptions & { readonly metric: string },
): TableData {
  const rows = overallRows(allRows);
  const { metric, labels, title, notes = [] } = options;
  const overQuestions = shownInterval(rows, metric);
  const hasSeeds = rows.some((row) => row.seeds > 1);
  const seedColumns: readonly TableColumn[] = [
    { key: "seeds", label: "Seeds", kind: "count" },
    { key: "seedMean", label: "Mean over seeds", kind: "score" },
    { key: "seedSd", label: "± sd", kind: "score" },
  ];
  return {
    title,
    columns: [
      ...identityColumns(rows, labels),
      { key: "questions", label: "Questions", kind: "count" },
      { key: "micro", label: "Mean over questions", kind: "score" },
      { key: "micro", label: overQuestions.label, kind: "interval" },
      { key: "conversations", label: "Conversations", kind: "count" },
      { key: "macro", label: "Mean over conversations", kind: "score" },
      { key: "macro", label: "95 % interval", kind: "interval" },
      ...(hasSeeds ? seedColumns : []),
    ],
    rows: rows.map((row) => {
      const summary = row.metrics[metric];
      const interval = summary && overQuestions.of(summary);
      return {
        ...identityCells(row),
        questions: row.questions,
        micro: summary?.mean,
        microLow: interval?.low,
        microHigh: interval?.high,
        conversations: row.conversations,
        macro: summary?.macro?.mean,
        macroLow: summary?.macro?.interval?.low,
        macroHigh: summary?.macro?.interval?.high,
        seeds: row.seeds,
        seedMean: summary?.overSeeds.mean,
        seedSd: summary?.overSeeds.standardDeviation,
      };
    }),
    notes,
  };
}
