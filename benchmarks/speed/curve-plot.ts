import { type ChartSpecification, renderChart } from "@memory-r1/repro/chart";
import { formatShape, type Shape } from "./shapes.ts";
import type { Summary } from "./summary.ts";

/** Shapes whose updates are drawn: cost against the length of the prompt, and against the size of the group. */
export interface Curves {
  readonly byPrompt: readonly Shape[];
  readonly byGroup: readonly Shape[];
}

/** Points of one axis: median update with its minimum and maximum. */
function pointsOf(
  summaries: readonly Summary[],
  shapes: readonly Shape[],
  axis: "promptTokens" | "groupSize",
) {
  const wanted = new Set(shapes.map(formatShape));
  return summaries
    .filter(
      ({ mode, dtype, shape }) =>
        mode === "update" && dtype === "float32" && wanted.has(formatShape(shape)),
    )
    .map(({ shape, engine, updateSeconds }) => ({ x: shape[axis], engine, ...updateSeconds }));
}

function chartOf(points: ReturnType<typeof pointsOf>, title: string, xTitle: string) {
  const color = { field: "engine", type: "nominal", title: null } as const;
  const x = { field: "x", type: "quantitative", title: xTitle } as const;
  return {
    width: 360,
    height: 280,
    title,
    data: { values: points },
    layer: [
      {
        mark: { type: "line", point: true },
        encoding: {
          x,
          y: { field: "median", type: "quantitative", title: "seconds of one update" },
          color,
        },
      } as const,
      {
        mark: "rule",
        encoding: {
          x,
          y: { field: "min", type: "quantitative" },
          y2: { field: "max" },
          color,
        },
      } as const,
    ],
  };
}

/** The curves as an SVG document; a shape that was not measured has no point. */
export async function renderCurves(
  summaries: readonly Summary[],
  { byPrompt, byGroup }: Curves,
): Promise<string> {
  const describe = (shapes: readonly Shape[], axis: "promptTokens" | "groupSize"): string => {
    const [first] = shapes;
    if (first === undefined) return "";
    return axis === "promptTokens"
      ? `groups of ${first.groupSize}, completions of ${first.completionTokens} tokens`
      : `prompts of ${first.promptTokens}, completions of ${first.completionTokens} tokens`;
  };
  const specification: ChartSpecification = {
    background: "white",
    hconcat: [
      chartOf(
        pointsOf(summaries, byPrompt, "promptTokens"),
        describe(byPrompt, "promptTokens"),
        "tokens of the prompt",
      ),
      chartOf(
        pointsOf(summaries, byGroup, "groupSize"),
        describe(byGroup, "groupSize"),
        "completions of the group",
      ),
    ],
  };
  return renderChart(specification);
}
