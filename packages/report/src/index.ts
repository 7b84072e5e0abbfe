export {
  type AggregateOptions,
  aggregatePredictions,
  type AggregateRow,
  type KnownIssuesMode,
  knownIssuesModes,
  type MetricSummary,
} from "./aggregate-predictions.ts";
export * from "./averages-table.ts";
export * from "./category-table.ts";
export * from "./compare-arms.ts";
export * from "./format-number.ts";
export * from "./leaderboard-table.ts";
export * from "./manifest.ts";
export * from "./overall-table.ts";
export { type ArmName, groupBy, type PredictionRecord } from "./prediction-record.ts";
export * from "./render-csv.ts";
export * from "./render-markdown.ts";
export * from "./render-text.ts";
export type { ResultTableOptions } from "./row-cells.ts";
export * from "./table.ts";
export * from "./table-schema.ts";
export * from "./write-file-atomic.ts";
