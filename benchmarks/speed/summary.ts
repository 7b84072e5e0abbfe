import type { TableColumn, TableData, TableRow } from "@memory-r1/report";
import { formatShape, type Shape } from "./shapes.ts";
import type { Measurement } from "./worker-process.ts";

/** One measured step with what it was measured of. */
export interface Observation {
  readonly shape: Shape;
  readonly dtype: string;
  readonly engine: string;
  /** Completions that the update takes at once. */
  readonly completionsPerPass: number;
  /** From 1. */
  readonly repetition: number;
  readonly measurement: Measurement;
}

/** Smallest, middle and largest of some numbers; the middle of an even number of them is the mean of the middle two. */
export interface Spread {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** @throws RangeError if there are no values */
export function computeSpread(values: readonly number[]): Spread {
  const sorted = values.toSorted((left, right) => left - right);
  const min = sorted.at(0);
  const max = sorted.at(-1);
  const lower = sorted[Math.floor((sorted.length - 1) / 2)];
  const upper = sorted[Math.ceil((sorted.length - 1) / 2)];
  if (min === undefined || max === undefined || lower === undefined || upper === undefined) {
    throw new RangeError("computeSpread: no values");
  }
  return { min, median: (lower + upper) / 2, max };
}

/** All repetitions of one engine at one shape and dtype. */
export interface Summary {
  readonly shape: Shape;
  readonly dtype: string;
  readonly engine: string;
  readonly completionsPerPass: number;
  readonly repetitions: number;
  readonly updateSeconds: Spread;
  readonly stepSeconds: Spread;
  readonly updateProcessorSeconds: Spread;
  readonly stepProcessorSeconds: Spread;
  /** Of the median step: completions that happen to start alike share positions. */
  readonly tokensComputed: number;
  /** Of the worker's whole life up to its last step. */
  readonly peakMemoryMib: number;
}

/** One summary for each shape, dtype and engine, in the order of the observations. */
export function summarise(observations: readonly Observation[]): readonly Summary[] {
  const groups = new Map<string, Observation[]>();
  for (const observation of observations) {
    const key = JSON.stringify([observation.shape, observation.dtype, observation.engine]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [observation]);
    else group.push(observation);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const spreadOf = (field: keyof Measurement): Spread =>
      computeSpread(group.map(({ measurement }) => measurement[field]));
    return {
      shape: first.shape,
      dtype: first.dtype,
      engine: first.engine,
      completionsPerPass: first.completionsPerPass,
      repetitions: group.length,
      updateSeconds: spreadOf("updateSeconds"),
      stepSeconds: spreadOf("stepSeconds"),
      updateProcessorSeconds: spreadOf("updateProcessorSeconds"),
      stepProcessorSeconds: spreadOf("stepProcessorSeconds"),
      tokensComputed: spreadOf("tokensComputed").median,
      peakMemoryMib: spreadOf("peakMemoryMib").max,
    };
  });
}

const identityColumns: readonly TableColumn[] = [
  { key: "promptTokens", label: "promptTokens", kind: "count" },
  { key: "completionTokens", label: "completionTokens", kind: "count" },
  { key: "dtype", label: "dtype", kind: "text" },
  { key: "engine", label: "engine", kind: "text" },
  { key: "completionsPerPass", label: "completionsPerPass", kind: "count" },
];

const spreadFields = [
  "updateSeconds",
  "stepSeconds",
  "updateProcessorSeconds",
  "stepProcessorSeconds",
] as const;

/** The summaries in full precision, for CSV: `<field>Min`, `<field>Median` and `<field>Max` for everything timed. */
export function summaryTable(summaries: readonly Summary[]): TableData {
  const score = (key: string): TableColumn => ({ key, label: key, kind: "score" });
  return {
    title: "",
    columns: [
      ...identityColumns,
      { key: "repetitions", label: "repetitions", kind: "count" },
      ...spreadFields.flatMap((field) =>
        (["Min", "Median", "Max"] as const).map((suffix) => score(`${field}${suffix}`)),
      ),
      score("tokensComputed"),
      score("peakMemoryMib"),
    ],
    rows: summaries.map((summary) => ({
      ...identityOf(summary),
      repetitions: summary.repetitions,
      tokensComputed: summary.tokensComputed,
      peakMemoryMib: summary.peakMemoryMib,
      ...Object.fromEntries(
        spreadFields.flatMap((field) => [
          [`${field}Min`, summary[field].min],
          [`${field}Median`, summary[field].median],
          [`${field}Max`, summary[field].max],
        ]),
      ),
    })),
    notes: [],
  };
}

/** What measurementTable shows of a step: lengths are the shape's, which run.ts checks. */
const measurementFields = [
  "updateSeconds",
  "stepSeconds",
  "updateProcessorSeconds",
  "stepProcessorSeconds",
  "tokensComputed",
  "gradientNorm",
  "peakMemoryMib",
] as const;

/** Every single step in full precision, for CSV. */
export function measurementTable(observations: readonly Observation[]): TableData {
  return {
    title: "",
    columns: [
      ...identityColumns,
      { key: "repetition", label: "repetition", kind: "count" },
      ...measurementFields.map((key): TableColumn => ({ key, label: key, kind: "score" })),
    ],
    rows: observations.map((observation) => ({
      ...observation.measurement,
      ...identityOf(observation),
      repetition: observation.repetition,
    })),
    notes: [],
  };
}

/** What a person reads: median (min to max) in seconds, and how many times the first engine's median the others took. */
export function readableTable(summaries: readonly Summary[], notes: readonly string[]): TableData {
  const columns: readonly TableColumn[] = [
    { key: "shape", label: "Prompt + completion tokens", kind: "text" },
    { key: "dtype", label: "dtype", kind: "text" },
    { key: "engine", label: "Engine", kind: "text" },
    { key: "update", label: "Update, s", kind: "text" },
    { key: "updateRatio", label: "Ratio", kind: "text" },
    { key: "step", label: "Whole step, s", kind: "text" },
    { key: "stepRatio", label: "Ratio", kind: "text" },
    { key: "tokensComputed", label: "Tokens computed in the update", kind: "count" },
    { key: "completionsPerPass", label: "Completions per pass", kind: "count" },
    { key: "memory", label: "Peak memory, MiB", kind: "count" },
  ];
  const rows = summaries.map((summary): TableRow => {
    const base = summaries.find(
      ({ shape, dtype }) =>
        formatShape(shape) === formatShape(summary.shape) && dtype === summary.dtype,
    );
    return {
      shape: formatShape(summary.shape),
      dtype: summary.dtype,
      engine: summary.engine,
      update: formatSpread(summary.updateSeconds),
      updateRatio: formatRatio(summary.updateSeconds, base?.updateSeconds),
      step: formatSpread(summary.stepSeconds),
      stepRatio: formatRatio(summary.stepSeconds, base?.stepSeconds),
      tokensComputed: summary.tokensComputed,
      completionsPerPass: summary.completionsPerPass,
      memory: Math.round(summary.peakMemoryMib),
    };
  });
  return { title: "One GRPO step, group of 8", columns, rows, notes };
}

type Identity = Pick<Summary, "shape" | "dtype" | "engine" | "completionsPerPass">;

function identityOf({ shape, dtype, engine, completionsPerPass }: Identity): TableRow {
  return { ...shape, dtype, engine, completionsPerPass };
}

function formatSpread({ min, median, max }: Spread): string {
  return `${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})`;
}

function formatRatio(own: Spread, base: Spread | undefined): string {
  return base === undefined ? "–" : `${(own.median / base.median).toFixed(1)} ×`;
}
