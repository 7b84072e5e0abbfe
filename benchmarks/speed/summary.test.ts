import { renderCsv, renderMarkdown } from "@memory-r1/report";
import { describe, expect, it } from "vitest";
import { renderCurves } from "./curve-plot.ts";
import type { Observation } from "./measure-pair.ts";
import { chooseTrlPass, formatShape, parseShapes } from "./shapes.ts";
import {
  comparisonTable,
  computeSpread,
  loopShareTable,
  measurementTable,
  shareOfPeak,
  summarise,
  summaryTable,
} from "./summary.ts";

const shape = { promptTokens: 350, completionTokens: 16, groupSize: 8 };

function observe(
  engine: string,
  repetition: number,
  updateSeconds: number,
  mode: Observation["mode"] = "step",
): Observation {
  return {
    mode,
    shape,
    dtype: "float32",
    engine,
    completionsPerPass: 8,
    repetition,
    measurement: {
      updateSeconds,
      stepSeconds: mode === "step" ? 2 * updateSeconds : null,
      updateProcessorSeconds: 1,
      stepProcessorSeconds: mode === "step" ? 2 : null,
      tokensComputed: engine === "Memory-R1" ? 470 : 2928,
      promptTokens: 350,
      completionTokens: 128,
      gradientNorm: 1,
      peakMemoryMib: 1000 + repetition,
    },
  };
}

// In turns, as they are measured. Medians by hand: Memory-R1 2, TRL 20.
function observePair(mode: Observation["mode"]): readonly Observation[] {
  return [
    observe("Memory-R1", 1, 3, mode),
    observe("TRL 1.16.0", 1, 20, mode),
    observe("Memory-R1", 2, 1, mode),
    observe("TRL 1.16.0", 2, 30, mode),
    observe("Memory-R1", 3, 2, mode),
    observe("TRL 1.16.0", 3, 10, mode),
  ];
}

// 188 × 10⁹ operations in 2 seconds are 94 × 10⁹ a second: half of the peak.
const flops = new Map([["350+16", 188e9]]);
const matmuls = [
  {
    dtype: "float32",
    squareGflops: { "512": 100, "1024": 188 },
    layerRows: 470,
    layerGflops: 150,
  },
] as const;

describe("computeSpread", () => {
  it("takes the middle of an odd number and the mean of the middle two of an even number", () => {
    expect(computeSpread([10, 9, 2])).toEqual({ min: 2, median: 9, max: 10 });
    expect(computeSpread([4, 1, 10, 2])).toEqual({ min: 1, median: 3, max: 10 });
    expect(computeSpread([7])).toEqual({ min: 7, median: 7, max: 7 });
  });

  it("refuses to summarise nothing", () => {
    expect(() => computeSpread([])).toThrow(RangeError);
  });
});

describe("summarise", () => {
  it("groups the turns by engine and keeps updates alone apart from whole steps", () => {
    const summaries = summarise([...observePair("step"), ...observePair("update")]);
    expect(summaries.map(({ mode, engine, repetitions }) => [mode, engine, repetitions])).toEqual([
      ["step", "Memory-R1", 3],
      ["step", "TRL 1.16.0", 3],
      ["update", "Memory-R1", 3],
      ["update", "TRL 1.16.0", 3],
    ]);
    expect(summaries[0]?.updateSeconds).toEqual({ min: 1, median: 2, max: 3 });
    expect(summaries[1]?.stepSeconds).toEqual({ min: 20, median: 40, max: 60 });
    expect(summaries[1]?.samplingSeconds).toEqual({ min: 10, median: 20, max: 30 });
    expect(summaries[0]?.peakMemoryMib).toBe(1003);
    expect(summaries[2]?.stepSeconds).toBeUndefined();
  });

  it("is empty without observations", () => {
    expect(summarise([])).toEqual([]);
  });
});

describe("shareOfPeak", () => {
  const [ours, peer] = summarise(observePair("update"));

  it("divides by the fastest product of the type", () => {
    if (ours === undefined) throw new Error("no summary");
    expect(shareOfPeak(ours, flops, matmuls)).toBeCloseTo(0.5, 12);
  });

  it("is absent for the peer, for another type and where nothing was counted", () => {
    if (ours === undefined || peer === undefined) throw new Error("no summary");
    expect(shareOfPeak(peer, flops, matmuls)).toBeUndefined();
    expect(shareOfPeak({ ...ours, dtype: "bfloat16" }, flops, matmuls)).toBeUndefined();
    expect(shareOfPeak(ours, new Map(), matmuls)).toBeUndefined();
  });
});

describe("tables", () => {
  it("give ratios to ours for people", () => {
    const text = renderMarkdown(
      comparisonTable(
        summarise([...observePair("update"), ...observePair("step")]),
        flops,
        matmuls,
      ),
    );
    expect(text).toContain(
      "| update | 350+16 | float32 | 2.00 (1.00 to 3.00) | 20.00 (10.00 to 30.00) | 10.0 × | 6.2 × | 50.0 % | 1,003 | 1,003 | 1.0 × |",
    );
    expect(text).toContain(
      "| whole step | 350+16 | float32 | 4.00 (2.00 to 6.00) | 40.00 (20.00 to 60.00) | 10.0 × |",
    );
  });

  it("leave cells empty for what was not measured", () => {
    const [header, ours, peer] = renderCsv(
      summaryTable(summarise(observePair("update")), flops, matmuls),
    ).split("\n");
    expect(header).toMatch(
      /^mode,promptTokens,completionTokens,groupSize,dtype,engine,completionsPerPass,repetitions,updateSecondsMin,/,
    );
    expect(ours).toBe("update,350,16,8,float32,Memory-R1,8,3,1,2,3,,,,,,,1,1,1,,,,470,1003,94,0.5");
    expect(peer).toBe("update,350,16,8,float32,TRL 1.16.0,8,3,10,20,30,,,,,,,1,1,1,,,,2928,1003,,");
    const [, first] = renderCsv(measurementTable(observePair("update"))).split("\n");
    expect(first).toBe("update,350,16,8,float32,Memory-R1,8,1,3,,1,,470,1,1001");
  });

  it("give the share of TypeScript in a step", () => {
    const loop = { shape: "350+16", dtype: "float32", typescriptProcessorSeconds: 0.2 } as const;
    const text = renderMarkdown(
      loopShareTable([
        { ...loop, repetition: 1, stepSeconds: 4, typescriptSeconds: 0.1 },
        { ...loop, repetition: 2, stepSeconds: 2, typescriptSeconds: 0.1 },
      ]),
    );
    expect(text).toContain(
      "| 350+16 float32 | 3.00 (2.00 to 4.00) | 3.8 % (2.5 % to 5.0 %) | 7.5 % (5.0 % to 10.0 %) |",
    );
  });
});

describe("renderCurves", () => {
  it("draws a line for each engine and the points that were measured", async () => {
    const longer = { ...shape, promptTokens: 1000 };
    const observations = observePair("update");
    const svg = await renderCurves(
      summarise([
        ...observations,
        ...observations.map((observation) => ({ ...observation, shape: longer })),
      ]),
      { byPrompt: [shape, longer], byGroup: [shape] },
    );
    expect(svg).toMatch(/^<svg /);
    expect(svg).toContain("tokens of the prompt");
    expect(svg).toContain("TRL 1.16.0");
    // Two lengths and one group size of two engines.
    expect(svg.match(/aria-roledescription="point"/g)).toHaveLength(6);
  });
});

describe("parseShapes", () => {
  it("reads what formatShape writes", () => {
    const shapes = parseShapes("--shapes", "350+16, 1000+64x8,350+16x32");
    expect(shapes.map(formatShape)).toEqual(["350+16", "1000+64", "350+16x32"]);
    expect(shapes[2]).toEqual({ promptTokens: 350, completionTokens: 16, groupSize: 32 });
  });

  it.each(["", "350", "350+", "0+16", "350+16;1000+64", "3.5+16", "350+16x1", "350+16x"])(
    "refuses %j",
    (text) => {
      expect(() => parseShapes("--shapes", text)).toThrow(/--shapes: .* is no shape/);
    },
  );
});

describe("chooseTrlPass", () => {
  // 1500 + completions × tokens × 3.5 MiB, against 0.75 × 24,000 = 18,000 MiB and 0.75 × 8,000 = 6,000 MiB.
  it.each([
    // 350+16: 8 need 11,748, 4 need 6,624, 2 need 4,062. 1000+64: 8 need 31,292, 4 need 16,396, 2 need 8,948.
    [shape, 24_000, 8],
    [{ promptTokens: 1000, completionTokens: 64, groupSize: 8 }, 24_000, 4],
    [shape, 8_000, 2],
    [{ promptTokens: 1000, completionTokens: 64, groupSize: 8 }, 8_000, 1],
    // 12 completions of 366 tokens need 16,872 MiB.
    [{ ...shape, groupSize: 12 }, 24_000, 12],
    // 32 and 16 need more (22,008), 8 fit.
    [{ ...shape, groupSize: 32 }, 24_000, 8],
  ])("takes as much of the group as fits: %o in %i MiB", (group, machineMib, expected) => {
    expect(chooseTrlPass(group, machineMib)).toBe(expected);
  });
});
