import {
  bootstrapMean,
  computeNormalInterval,
  computeWilsonInterval,
  type Interval,
} from "@memory-r1/metrics";
import { formatCount, type TableData } from "@memory-r1/report";
import { createRandom, deriveSeed, type Outcome } from "@memory-r1/spec";

/** How an interval was computed. */
type IntervalMethod = "wilson" | "bootstrap" | "normal";

/** One metric over all lines or those of one category. */
export interface ScoreSummaryRow {
  readonly metric: string;
  /** Absent: all lines. */
  readonly category: string | undefined;
  readonly mean: number | undefined;
  readonly interval: (Interval & { readonly method: IntervalMethod }) | undefined;
  readonly graded: number;
  readonly ungraded: number;
}

export interface ScoreSummary {
  readonly lines: number;
  readonly malformed: number;
  /** Categories beyond those that have rows: too many to be categories. */
  readonly categoriesLeftOut: boolean;
  readonly rows: readonly ScoreSummaryRow[];
}

/** Sums up scores as they come, in memory that does not grow with the number of lines. */
export interface ScoreAccumulator {
  add(category: string | undefined, outcomes: ReadonlyMap<string, Outcome>): void;
  addMalformed(): void;
  summarise(): ScoreSummary;
}

/** A field with more values than this is an id, not a category. */
const maxCategories = 50;
/** Up to here scores are resampled; a mean of more is as good as normal, and resampling it would take minutes. */
const maxResampled = 2_000;

export function createScoreAccumulator(metricNames: readonly string[]): ScoreAccumulator {
  const newCells = (): ReadonlyMap<string, Cell> =>
    new Map(metricNames.map((metric) => [metric, createCell()]));
  const all = newCells();
  const categories = new Map<string, ReadonlyMap<string, Cell>>();
  let lines = 0;
  let malformed = 0;
  let categoriesLeftOut = false;

  const cellsOf = (category: string): ReadonlyMap<string, Cell> | undefined => {
    const known = categories.get(category);
    if (known !== undefined) return known;
    if (categories.size >= maxCategories) {
      categoriesLeftOut = true;
      return undefined;
    }
    const cells = newCells();
    categories.set(category, cells);
    return cells;
  };
  const rowsOf = (
    cells: ReadonlyMap<string, Cell>,
    category: string | undefined,
  ): ScoreSummaryRow[] =>
    [...cells].map(([metric, cell]) => ({ metric, category, ...cell.summarise(metric, category) }));

  return {
    add(category, outcomes) {
      lines += 1;
      const ofCategory = category === undefined ? undefined : cellsOf(category);
      for (const [metric, outcome] of outcomes) {
        all.get(metric)?.add(outcome);
        ofCategory?.get(metric)?.add(outcome);
      }
    },
    addMalformed() {
      lines += 1;
      malformed += 1;
    },
    summarise: () => ({
      lines,
      malformed,
      categoriesLeftOut,
      rows: [
        ...rowsOf(all, undefined),
        ...[...categories]
          .sort(([one], [other]) => one.localeCompare(other, "en", { numeric: true }))
          .flatMap(([category, cells]) => rowsOf(cells, category)),
      ],
    }),
  };
}

interface Cell {
  add(outcome: Outcome): void;
  summarise(
    metric: string,
    category: string | undefined,
  ): Omit<ScoreSummaryRow, "metric" | "category">;
}

function createCell(): Cell {
  let count = 0;
  let ungraded = 0;
  let ones = 0;
  let zeros = 0;
  let sum = 0;
  // Welford's running mean and sum of squared deviations.
  let runningMean = 0;
  let squares = 0;
  let kept: Outcome[] = [];

  const intervalOf = (
    metric: string,
    category: string | undefined,
  ): ScoreSummaryRow["interval"] => {
    if (count === 0) return undefined;
    if (ones + zeros === count) return withMethod(computeWilsonInterval(ones, count), "wilson");
    if (count > maxResampled) {
      const standardDeviation = Math.sqrt(squares / (count - 1));
      const moments = { count, mean: sum / count, standardDeviation };
      return withMethod(computeNormalInterval(moments), "normal");
    }
    // One score says nothing of how much scores differ.
    if (count === 1) return undefined;
    const random = createRandom(deriveSeed("score", metric, category ?? "all lines"));
    return withMethod(bootstrapMean(kept, random), "bootstrap");
  };

  return {
    add(outcome) {
      if (outcome.status === "ungraded") {
        ungraded += 1;
        return;
      }
      const { score } = outcome;
      count += 1;
      if (score === 1) ones += 1;
      if (score === 0) zeros += 1;
      sum += score;
      const deviation = score - runningMean;
      runningMean += deviation / count;
      squares += deviation * (score - runningMean);
      if (count <= maxResampled) kept.push(outcome);
      else if (kept.length > 0) kept = [];
    },
    summarise: (metric, category) => ({
      mean: count === 0 ? undefined : sum / count,
      interval: intervalOf(metric, category),
      graded: count,
      ungraded,
    }),
  };
}

function withMethod(
  interval: Interval | undefined,
  method: IntervalMethod,
): ScoreSummaryRow["interval"] {
  return interval && { low: interval.low, high: interval.high, method };
}

/** The summary as a table for a person. */
export function summaryTable(summary: ScoreSummary): TableData {
  const { lines, malformed, categoriesLeftOut, rows } = summary;
  return {
    title: "",
    columns: [
      { key: "metric", label: "Metric", kind: "text" },
      { key: "category", label: "Category", kind: "text" },
      { key: "mean", label: "Mean", kind: "score" },
      { key: "mean", label: "95 % interval", kind: "interval" },
      { key: "method", label: "by", kind: "text" },
      { key: "graded", label: "Graded", kind: "count" },
      { key: "ungraded", label: "Ungraded", kind: "count" },
    ],
    rows: rows.map(({ metric, category, mean, interval, graded, ungraded }) => ({
      metric,
      category: category ?? "all",
      mean,
      meanLow: interval?.low,
      meanHigh: interval?.high,
      method: interval?.method,
      graded,
      ungraded,
    })),
    notes: [
      `${formatCount(lines)} lines, ${formatCount(malformed)} malformed.`,
      ...(categoriesLeftOut ? [`Only the first ${maxCategories} categories have rows.`] : []),
    ],
  };
}
