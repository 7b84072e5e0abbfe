import { View, parse } from "vega";
import { compile, type TopLevelSpec } from "vega-lite";

export type ChartSpecification = TopLevelSpec;

/** A chart of vega-lite as an SVG document. @throws Error for a specification that vega-lite cannot compile */
export async function renderChart(specification: ChartSpecification): Promise<string> {
  const view = new View(parse(compile(specification).spec), { renderer: "none" });
  try {
    return await view.toSVG();
  } finally {
    view.finalize();
  }
}
