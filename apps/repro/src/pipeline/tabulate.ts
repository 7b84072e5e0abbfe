import { metrics } from "@memory-r1/metrics";
import {
  aggregatePredictions,
  type AggregateRow,
  type ArmComparison,
  averagesTable,
  categoryTable,
  compareArms,
  type KnownIssuesMode,
  leaderboardTable,
  overallTable,
  type TableData,
} from "@memory-r1/report";
import type { EvaluatedSplit, Experiment } from "../experiment.ts";
import { knownName } from "./known-name.ts";
import { refusalTable } from "./refusal-table.ts";
import { type ScoredSplit, splitColumn } from "./score-predictions.ts";

/** How the tables that are shown are to look. */
export interface TableView {
  /** Naming scheme of the categories; absent where their data set names none. */
  readonly categoryNaming: string | undefined;
  /** Rows with and without the questions whose gold answer is known to be wrong. */
  readonly knownIssues: KnownIssuesMode | "both";
  /** The metric of intervals, categories and comparisons. */
  readonly mainMetric: string;
  /**
   * Which metrics get intervals, which is what takes time: `all` for the leaderboard, `main` where it is not needed.
   */
  readonly intervals: "all" | "main";
}

/** The tables of one run, or of several that differ in their seed. */
export interface RunTables {
  /** Everything over all questions: what is shown first. */
  readonly overall: TableData;
  readonly categories: TableData;
  readonly averages: TableData;
  /** Absent where no question was asked that is to be refused. */
  readonly refusals: TableData | undefined;
  /** Not a matter of view: every scope there is, by every metric. */
  readonly leaderboard: TableData;
  readonly comparisons: TableData;
}

/** What is shown below the overall table. */
export function detailTables(tables: RunTables): readonly TableData[] {
  const { categories, averages, refusals } = tables;
  return refusals === undefined ? [categories, averages] : [categories, averages, refusals];
}

/** Lays out the tables. Pure: equal scores, view and seed give equal tables. */
export function tabulate(
  experiment: Experiment,
  scored: readonly ScoredSplit[],
  view: TableView,
): RunTables {
  const splits = scored.filter(({ records }) => records.length > 0);
  const hasIssues = splits.some(({ records }) => records.some((record) => record.hasCorruptGold));
  const modes: readonly KnownIssuesMode[] =
    hasIssues || view.knownIssues !== "include" ? ["include", "exclude"] : ["include"];
  const isShown = (mode: KnownIssuesMode): boolean =>
    view.knownIssues === "both" || view.knownIssues === mode;
  const rows = modes.flatMap((knownIssues) =>
    splits.flatMap(({ split, records }) =>
      aggregatePredictions(records, {
        seed: experiment.seed,
        knownIssues,
        labels: { split },
        ...(view.intervals === "main" ? { intervalsOf: [view.mainMetric] } : {}),
      }),
    ),
  );
  const shown = rows.filter((row) => isShown(row.knownIssues));
  const comparisons = modes.flatMap((mode) =>
    compareAll(experiment, splits, view.mainMetric, mode),
  );
  const { mainMetric, categoryNaming = "" } = view;
  const labels = [splitColumn];
  return {
    overall: overallTable(shown, {
      title: `${experiment.description} (${experiment.dataset})`,
      labels,
      metrics: experiment.evaluation.metrics.map((name) => ({
        name,
        label: name,
        showInterval: name === mainMetric,
      })),
      notes: [
        ...overallNotes(experiment, scored, shown),
        ...comparisons.filter((one) => isShown(one.knownIssues)).map(comparisonNote),
      ],
    }),
    categories: categoryTable(shown, {
      title: `${mainMetric} by category${categoryNaming === "" ? "" : `, named as in ${categoryNaming}`}`,
      labels,
      metric: mainMetric,
      naming: categoryNaming,
      notes: [describeMetric(mainMetric), ...categoryNotes(shown, categoryNaming)],
    }),
    averages: averagesTable(shown, {
      title: `${mainMetric} averaged over questions and over conversations`,
      labels,
      metric: mainMetric,
      notes: [
        "Questions of one conversation depend on each other: the interval over conversations draws whole conversations.",
      ],
    }),
    refusals: refusalTable(experiment, scored, view),
    leaderboard: leaderboardTable(rows, { title: experiment.name, labels }),
    comparisons: comparisonTable(mainMetric, comparisons),
  };
}

interface Comparison {
  readonly split: EvaluatedSplit;
  readonly knownIssues: KnownIssuesMode;
  readonly metric: string;
  readonly from: string;
  readonly to: string;
  readonly estimate: ArmComparison | undefined;
}

function compareAll(
  experiment: Experiment,
  splits: readonly ScoredSplit[],
  metric: string,
  knownIssues: KnownIssuesMode,
): Comparison[] {
  const arms = new Map(experiment.evaluation.arms.map((arm) => [arm.name, arm]));
  return splits.flatMap(({ split, records }) =>
    experiment.evaluation.comparisons.flatMap(([from, to]) => {
      const base = arms.get(from);
      const changed = arms.get(to);
      if (!base?.splits.includes(split) || !changed?.splits.includes(split)) return [];
      const estimate = compareArms(
        records,
        {
          metric,
          first: { system: changed.system, arm: changed.variant },
          second: { system: base.system, arm: base.variant },
        },
        { seed: experiment.seed, knownIssues },
      );
      return [{ split, knownIssues, metric, from, to, estimate }];
    }),
  );
}

function comparisonTable(metric: string, comparisons: readonly Comparison[]): TableData {
  return {
    title: `${metric}: differences with 95 % paired bootstrap intervals`,
    columns: [
      splitColumn,
      { key: "from", label: "From", kind: "text" },
      { key: "to", label: "To", kind: "text" },
      { key: "metric", label: "Metric", kind: "text" },
      { key: "difference", label: "Difference", kind: "score" },
      { key: "difference", label: "95 % interval", kind: "interval" },
      { key: "questions", label: "Questions", kind: "count" },
      { key: "knownIssues", label: "Known gold errors", kind: "text" },
      { key: "conversations", label: "Conversations", kind: "count" },
      { key: "macroDifference", label: "Over conversations", kind: "score" },
      { key: "macroDifference", label: "95 % interval", kind: "interval" },
    ],
    rows: comparisons.map(({ estimate, ...facts }) => ({
      ...facts,
      difference: estimate?.mean,
      differenceLow: estimate?.interval?.low,
      differenceHigh: estimate?.interval?.high,
      questions: estimate?.count,
      conversations: estimate?.macro.clusters,
      macroDifference: estimate?.macro.mean,
      macroDifferenceLow: estimate?.macro.interval?.low,
      macroDifferenceHigh: estimate?.macro.interval?.high,
    })),
    notes: [],
  };
}

function comparisonNote({ split, knownIssues, metric, from, to, estimate }: Comparison): string {
  const format = (value: number | undefined): string => value?.toFixed(3) ?? "–";
  const { low, high } = estimate?.interval ?? {};
  return (
    `${split}: ${to} − ${from} = ${format(estimate?.mean)} [${format(low)}, ${format(high)}] ${metric}` +
    (knownIssues === "exclude" ? ", known gold errors left out" : "")
  );
}

function overallNotes(
  experiment: Experiment,
  scored: readonly ScoredSplit[],
  shown: readonly AggregateRow[],
): string[] {
  const seeds = [...new Set(scored.flatMap(({ records }) => records.map((record) => record.seed)))];
  const corrupt = scored.flatMap(({ split, records }) => {
    const questions = new Map(records.map((record) => [record.questionId, record.hasCorruptGold]));
    const count = [...questions.values()].filter((isCorrupt) => isCorrupt === true).length;
    return count === 0 ? [] : [`${count} of ${questions.size} of ${split}`];
  });
  const isAsked = scored.some(({ toRefuse }) => toRefuse.length > 0);
  return [
    `Intervals: 95 %, percentile bootstrap over questions (Wilson's where named), seed ${experiment.seed}. ` +
      (isAsked
        ? "Questions to be refused have a table of their own."
        : "Adversarial questions are not asked."),
    ...(seeds.length > 1 && shown.length > 0
      ? [
          `Means over ${seeds.length} seeds (${seeds.join(", ")}) and their sample standard deviation.`,
        ]
      : []),
    ...(corrupt.length > 0
      ? [
          `Questions whose gold answer is known to be wrong: ${corrupt.join(", ")}. ` +
            "Ceiling: the share of the others, what a perfect system would get.",
        ]
      : []),
  ];
}

/** What the score is, as a sentence. @throws ConfigError for a name that is no metric's */
function describeMetric(name: string): string {
  const { description, source } = metrics[knownName("metric", name, metrics)];
  return `${name}: ${description} (${source}).`;
}

/** What the names stand for: the data set's codes mean the same under every naming, its names do not. */
function categoryNotes(rows: readonly AggregateRow[], naming: string): string[] {
  const names = new Map<string, Readonly<Record<string, string>>>();
  for (const { categoryCode, categoryNames } of rows)
    if (categoryCode !== undefined) names.set(categoryCode, categoryNames);
  const others = new Set([...names.values()].flatMap(Object.keys));
  if (!others.delete(naming)) return [];
  const codes = [...names]
    .sort(([one], [other]) => one.localeCompare(other, "en", { numeric: true }))
    .map(([code, ofCode]) => `${code} ${ofCode[naming] ?? "–"}`);
  return [
    `Category names: ${naming} (${codes.join(", ")}).` +
      (others.size === 0
        ? ""
        : ` The same codes have other names under ${[...others].join(", ")}.`),
  ];
}

/**
 * The naming scheme of the categories that is meant: the one wanted, else the first that the data set has.
 * @throws ConfigError where the data set has none of that name
 */
export function chooseCategoryNaming(
  categories: Iterable<{ readonly names: Readonly<Record<string, string>> }>,
  wanted: string | undefined,
): string | undefined {
  const schemes: Record<string, true> = {};
  for (const { names } of categories)
    for (const scheme of Object.keys(names)) schemes[scheme] = true;
  return wanted === undefined
    ? Object.keys(schemes)[0]
    : knownName("category naming", wanted, schemes);
}
