import type { TableColumn, TableData, TableRow } from "@memory-r1/report";
import type { LoopObservation } from "./loop-observation.ts";
import { type Matmul, peakOf } from "./matmul.ts";
import { engineNames, formatTask, type Observation, type Task } from "./measure-pair.ts";
import { formatShape } from "./shapes.ts";

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

/** All repetitions of one engine at one task. */
export interface Summary extends Task {
  readonly engine: string;
  readonly completionsPerPass: number;
  readonly repetitions: number;
  readonly updateSeconds: Spread;
  readonly updateProcessorSeconds: Spread;
  /** Absent where completions were given. */
  readonly stepSeconds?: Spread;
  readonly stepProcessorSeconds?: Spread;
  /** The whole step without its update. */
  readonly samplingSeconds?: Spread;
  /** Of the median step: completions that happen to start alike share positions. */
  readonly tokensComputed: number;
  /** Of the worker's whole life up to its last step. */
  readonly peakMemoryMib: number;
}

/** One summary for each task and engine, in the order of the observations. */
export function summarise(observations: readonly Observation[]): readonly Summary[] {
  const groups = new Map<string, Observation[]>();
  for (const observation of observations) {
    const key = `${formatTask(observation)} ${observation.engine}`;
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [observation]);
    else group.push(observation);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const spreadOf = (field: keyof Observation["measurement"]): Spread | undefined => {
      const values = group.flatMap(({ measurement }) => measurement[field] ?? []);
      return values.length === 0 ? undefined : computeSpread(values);
    };
    const required = (field: keyof Observation["measurement"]): Spread =>
      computeSpread(group.flatMap(({ measurement }) => measurement[field] ?? []));
    const stepSeconds = spreadOf("stepSeconds");
    const stepProcessorSeconds = spreadOf("stepProcessorSeconds");
    const sampling = group.flatMap(({ measurement: { stepSeconds: step, updateSeconds } }) =>
      step === null ? [] : [step - updateSeconds],
    );
    return {
      mode: first.mode,
      shape: first.shape,
      dtype: first.dtype,
      engine: first.engine,
      completionsPerPass: first.completionsPerPass,
      repetitions: group.length,
      updateSeconds: required("updateSeconds"),
      updateProcessorSeconds: required("updateProcessorSeconds"),
      ...(stepSeconds === undefined ? {} : { stepSeconds }),
      ...(stepProcessorSeconds === undefined ? {} : { stepProcessorSeconds }),
      ...(sampling.length === 0 ? {} : { samplingSeconds: computeSpread(sampling) }),
      tokensComputed: required("tokensComputed").median,
      peakMemoryMib: required("peakMemoryMib").max,
    };
  });
}

const identityColumns: readonly TableColumn[] = [
  { key: "mode", label: "mode", kind: "text" },
  { key: "promptTokens", label: "promptTokens", kind: "count" },
  { key: "completionTokens", label: "completionTokens", kind: "count" },
  { key: "groupSize", label: "groupSize", kind: "count" },
  { key: "dtype", label: "dtype", kind: "text" },
  { key: "engine", label: "engine", kind: "text" },
  { key: "completionsPerPass", label: "completionsPerPass", kind: "count" },
];

const spreadFields = [
  "updateSeconds",
  "stepSeconds",
  "samplingSeconds",
  "updateProcessorSeconds",
  "stepProcessorSeconds",
] as const;

const score = (key: string): TableColumn => ({ key, label: key, kind: "score" });

/** The summaries in full precision, for CSV: `<field>Min`, `<field>Median` and `<field>Max` for everything timed. */
export function summaryTable(
  summaries: readonly Summary[],
  flops: ReadonlyMap<string, number>,
  matmuls: readonly Matmul[],
): TableData {
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
      score("updateGflops"),
      score("shareOfMatmulPeak"),
    ],
    rows: summaries.map((summary) => {
      const operations = operationsOf(summary, flops);
      return {
        ...identityOf(summary),
        repetitions: summary.repetitions,
        tokensComputed: summary.tokensComputed,
        peakMemoryMib: summary.peakMemoryMib,
        updateGflops:
          operations === undefined ? undefined : operations / summary.updateSeconds.median / 1e9,
        shareOfMatmulPeak: shareOfPeak(summary, flops, matmuls),
        ...Object.fromEntries(
          spreadFields.flatMap((field) => [
            [`${field}Min`, summary[field]?.min],
            [`${field}Median`, summary[field]?.median],
            [`${field}Max`, summary[field]?.max],
          ]),
        ),
      };
    }),
    notes: [],
  };
}

/** Operations were counted for the engine's update alone. */
function operationsOf(
  { engine, mode, shape }: Summary,
  flops: ReadonlyMap<string, number>,
): number | undefined {
  if (engine !== engineNames.ours || mode !== "update") return undefined;
  return flops.get(formatShape(shape));
}

/** Operations in the update's matrix products per second, divided by the most that a product reached in that type. */
export function shareOfPeak(
  summary: Summary,
  flops: ReadonlyMap<string, number>,
  matmuls: readonly Matmul[],
): number | undefined {
  const operations = operationsOf(summary, flops);
  const peaks = matmuls.filter(({ dtype }) => dtype === summary.dtype).map(peakOf);
  if (operations === undefined || peaks.length === 0) return undefined;
  return operations / summary.updateSeconds.median / Math.max(...peaks);
}

/** What measurementTable shows of a step: lengths are the shape's, which measure-pair.ts checks. */
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
      ...measurementFields.map(score),
    ],
    rows: observations.map((observation) => ({
      ...Object.fromEntries(
        measurementFields.map((field) => [field, observation.measurement[field] ?? undefined]),
      ),
      ...identityOf(observation),
      repetition: observation.repetition,
    })),
    notes: [],
  };
}

/** What a person reads: one row for each task, ours beside the peer, with how many times the peer's time, tokens and memory. */
export function comparisonTable(
  summaries: readonly Summary[],
  flops: ReadonlyMap<string, number>,
  matmuls: readonly Matmul[],
): TableData {
  const { ours, peer } = engineNames;
  const columns: readonly TableColumn[] = [
    { key: "what", label: "What", kind: "text" },
    { key: "shape", label: "Prompt + completion tokens", kind: "text" },
    { key: "dtype", label: "dtype", kind: "text" },
    { key: "ours", label: `${ours}, s`, kind: "text" },
    { key: "peer", label: `${peer}, s`, kind: "text" },
    { key: "faster", label: "Times faster", kind: "text" },
    { key: "tokens", label: "Times fewer tokens", kind: "text" },
    { key: "share", label: "Share of matmul peak", kind: "text" },
    { key: "memory", label: `${ours}, MiB`, kind: "count" },
    { key: "peerMemory", label: `${peer}, MiB`, kind: "count" },
    { key: "lessMemory", label: "Times less memory", kind: "text" },
  ];
  const rows = summaries
    .filter(({ engine }) => engine === ours)
    .flatMap((summary): readonly TableRow[] => {
      const other = summaries.find(
        (candidate) => candidate.engine === peer && formatTask(candidate) === formatTask(summary),
      );
      const share = shareOfPeak(summary, flops, matmuls);
      const compare = (what: string, time: Spread | undefined, peerTime: Spread | undefined) => ({
        what,
        shape: formatShape(summary.shape),
        dtype: summary.dtype,
        ours: time === undefined ? undefined : formatSpread(time),
        peer: peerTime === undefined ? undefined : formatSpread(peerTime),
        faster: time === undefined ? undefined : formatRatio(peerTime?.median, time.median),
      });
      if (summary.mode === "step") {
        return [
          compare("whole step", summary.stepSeconds, other?.stepSeconds),
          compare("its sampling", summary.samplingSeconds, other?.samplingSeconds),
        ];
      }
      const row = {
        ...compare("update", summary.updateSeconds, other?.updateSeconds),
        tokens: formatRatio(other?.tokensComputed, summary.tokensComputed),
        share: share === undefined ? undefined : formatShare(share),
        memory: Math.round(summary.peakMemoryMib),
        peerMemory: other === undefined ? undefined : Math.round(other.peakMemoryMib),
        lessMemory: formatRatio(other?.peakMemoryMib, summary.peakMemoryMib),
      };
      return [row];
    });
  return {
    title: "GRPO, one group",
    columns,
    rows,
    notes: ["median (minimum to maximum); ratios are of medians"],
  };
}

/** What the machine's matrix products reach, for a person and for CSV. */
export function matmulTable(matmuls: readonly Matmul[]): TableData {
  return {
    title: "Matrix products, 10⁹ operations a second",
    columns: [
      { key: "dtype", label: "dtype", kind: "text" },
      { key: "product", label: "product", kind: "text" },
      score("gflops"),
    ],
    rows: matmuls.flatMap(({ dtype, squareGflops, layerRows, layerGflops }) => [
      ...Object.entries(squareGflops).map(([size, gflops]) => ({
        dtype,
        product: `${size} × ${size} × ${size}`,
        gflops,
      })),
      { dtype, product: `linear layers of the model, ${layerRows} tokens`, gflops: layerGflops },
    ]),
    notes: ["the fastest of 7; the peak is the largest of a type"],
  };
}

/** Every measured step of the loop in TypeScript. */
export function loopTable(loops: readonly LoopObservation[]): TableData {
  return {
    title: "",
    columns: [
      { key: "shape", label: "shape", kind: "text" },
      { key: "dtype", label: "dtype", kind: "text" },
      { key: "repetition", label: "repetition", kind: "count" },
      score("stepSeconds"),
      score("typescriptSeconds"),
      score("typescriptProcessorSeconds"),
    ],
    rows: loops.map((loop) => ({ ...loop })),
    notes: [],
  };
}

/** The share of TypeScript in a step: median (minimum to maximum) over the steps. */
export function loopShareTable(loops: readonly LoopObservation[]): TableData {
  const keys = [...new Set(loops.map(({ shape, dtype }) => `${shape} ${dtype}`))];
  const rows = keys.map((key): TableRow => {
    const own = loops.filter(({ shape, dtype }) => `${shape} ${dtype}` === key);
    const share = (field: "typescriptSeconds" | "typescriptProcessorSeconds"): string => {
      const spread = computeSpread(own.map((loop) => loop[field] / loop.stepSeconds));
      return `${formatShare(spread.median)} (${formatShare(spread.min)} to ${formatShare(spread.max)})`;
    };
    return {
      task: key,
      step: formatSpread(computeSpread(own.map(({ stepSeconds }) => stepSeconds))),
      busy: share("typescriptSeconds"),
      processor: share("typescriptProcessorSeconds"),
    };
  });
  return {
    title: "The loop in TypeScript",
    columns: [
      { key: "task", label: "Step", kind: "text" },
      { key: "step", label: "Whole step, s", kind: "text" },
      { key: "busy", label: "Event loop busy", kind: "text" },
      { key: "processor", label: "Processor time of Node", kind: "text" },
    ],
    rows,
    notes: ["shares of the step's wall time: median (minimum to maximum)"],
  };
}

type Identity = Pick<Summary, "mode" | "shape" | "dtype" | "engine" | "completionsPerPass">;

function identityOf({ mode, shape, dtype, engine, completionsPerPass }: Identity): TableRow {
  return { mode, ...shape, dtype, engine, completionsPerPass };
}

function formatSpread({ min, median, max }: Spread): string {
  return `${median.toFixed(2)} (${min.toFixed(2)} to ${max.toFixed(2)})`;
}

function formatShare(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function formatRatio(numerator: number | undefined, denominator: number): string | undefined {
  return numerator === undefined ? undefined : `${(numerator / denominator).toFixed(1)} ×`;
}
