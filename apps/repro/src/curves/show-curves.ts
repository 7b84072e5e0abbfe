import { groupBy, renderCsv, type TableData, writeFileAtomic } from "@memory-r1/report";
import { type CurvePoint, type CurveSeries, readCurves } from "./read-curves.ts";

const seriesTitles: Readonly<Record<CurveSeries, string>> = {
  reward: "mean reward of samples",
  validation: "score of validations",
  evidenceMissing: "evidence missing in validations",
};

export interface ShowCurvesOptions {
  /** Absolute. */
  readonly directories: readonly string[];
  readonly svgPath?: string | undefined;
  readonly csvPath?: string | undefined;
}

/** Writes what was asked for. @returns first and last values of each curve, as a mean over its seeds */
export async function showCurves(options: ShowCurvesOptions): Promise<TableData> {
  const points = await readCurves(options.directories);
  if (options.csvPath !== undefined)
    await writeFileAtomic(options.csvPath, renderCsv(pointTable(points)));
  if (options.svgPath !== undefined) {
    // Loaded only here: it takes longer than everything else of the command.
    const { drawCurves } = await import("./draw-curves.ts");
    await writeFileAtomic(options.svgPath, await drawCurves(points, seriesTitles));
  }
  return curveTable(points);
}

function pointTable(points: readonly CurvePoint[]): TableData {
  return {
    title: "Learning curves",
    columns: [
      { key: "experiment", label: "Experiment", kind: "text" },
      { key: "algorithm", label: "Algorithm", kind: "text" },
      { key: "seed", label: "Seed", kind: "count" },
      { key: "stage", label: "Stage", kind: "text" },
      { key: "series", label: "Series", kind: "text" },
      { key: "step", label: "Step", kind: "count" },
      { key: "value", label: "Value", kind: "score" },
    ],
    rows: points.map((point) => ({ ...point })),
    notes: [],
  };
}

/** Rewards are noisy: their ends are means of so many steps. */
const averagedSteps = 5;

function curveTable(points: readonly CurvePoint[]): TableData {
  const curves = groupBy(points, ({ experiment, algorithm, stage, series }) =>
    JSON.stringify([experiment, algorithm, stage, series]),
  );
  const rows = [...curves.values()].flatMap((ofCurve) => {
    const [first] = ofCurve;
    if (first === undefined) return [];
    const { experiment, algorithm, stage, series } = first;
    const bySeed = [...groupBy(ofCurve, ({ seed }) => seed).values()];
    const values = bySeed.map((ofSeed) => ofSeed.map(({ value }) => value));
    const count = series === "reward" ? averagedSteps : 1;
    return [
      {
        experiment,
        algorithm: algorithm.toUpperCase(),
        stage,
        series: seriesTitles[series],
        seeds: bySeed.length,
        steps: Math.max(...ofCurve.map(({ step }) => step)) + (series === "reward" ? 1 : 0),
        first: meanOf(values.map((ofSeed) => meanOf(ofSeed.slice(0, count)))),
        last: meanOf(values.map((ofSeed) => meanOf(ofSeed.slice(-count)))),
        best: meanOf(
          values.map((ofSeed) =>
            series === "evidenceMissing" ? Math.min(...ofSeed) : Math.max(...ofSeed),
          ),
        ),
      },
    ];
  });
  return {
    title: "Learning curves",
    columns: [
      { key: "experiment", label: "Experiment", kind: "text" },
      { key: "algorithm", label: "Algorithm", kind: "text" },
      { key: "stage", label: "Stage", kind: "text" },
      { key: "series", label: "What", kind: "text" },
      { key: "seeds", label: "Seeds", kind: "count" },
      { key: "steps", label: "Steps", kind: "count" },
      { key: "first", label: "First", kind: "score" },
      { key: "last", label: "Last", kind: "score" },
      { key: "best", label: "Best", kind: "score" },
    ],
    rows,
    notes: [
      `Means over seeds. First and last of rewards: means of up to ${averagedSteps} steps. A Manager's score of validations may exceed 1: its answers' score and what it keeps.`,
    ],
  };
}

const meanOf = (values: readonly number[]): number =>
  values.reduce((total, value) => total + value, 0) / values.length;
