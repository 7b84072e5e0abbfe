import { type ChartSpecification, renderChart } from "../chart.ts";
import { type CurvePoint, type CurveSeries, curveSeries } from "./read-curves.ts";

/** An SVG document: a row for each series, a column for each stage, a thin line for each seed and a thick one for their mean. */
export function drawCurves(
  points: readonly CurvePoint[],
  titles: Readonly<Record<CurveSeries, string>>,
): Promise<string> {
  const stages = [...new Set(points.map(({ stage }) => stage))];
  const present = curveSeries.filter((series) => points.some((point) => point.series === series));
  const specification: ChartSpecification = {
    background: "white",
    vconcat: present.map((series) => ({
      hconcat: stages.flatMap((stage) => {
        const values = points
          .filter((point) => point.series === series && point.stage === stage)
          .map(({ experiment, algorithm, seed, step, value }) => ({
            curve: `${experiment}, ${algorithm.toUpperCase()}`,
            seed,
            step,
            value,
          }));
        return values.length === 0 ? [] : [chartOf(values, stage, titles[series])];
      }),
    })),
  };
  return renderChart(specification);
}

function chartOf(
  values: readonly { curve: string; seed: number; step: number; value: number }[],
  stage: string,
  title: string,
) {
  const x = { field: "step", type: "quantitative", title: "step" } as const;
  const y = { type: "quantitative", title, scale: { zero: false } } as const;
  const color = { field: "curve", type: "nominal", title: null } as const;
  return {
    width: 300,
    height: 200,
    title: stage,
    data: { values: [...values] },
    layer: [
      {
        mark: { type: "line", opacity: 0.35, strokeWidth: 1 },
        encoding: { x, y: { ...y, field: "value" }, color, detail: { field: "seed" } },
      } as const,
      {
        mark: { type: "line", strokeWidth: 2.5, point: values.length < 40 },
        encoding: { x, y: { ...y, field: "value", aggregate: "mean" }, color },
      } as const,
    ],
  };
}
