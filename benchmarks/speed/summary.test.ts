import { renderCsv, renderMarkdown } from "@memory-r1/report";
import { describe, expect, it } from "vitest";
import { chooseTrlPass, formatShape, parseShapes } from "./shapes.ts";
import {
  computeSpread,
  measurementTable,
  type Observation,
  readableTable,
  summarise,
  summaryTable,
} from "./summary.ts";

function observe(engine: string, repetition: number, updateSeconds: number): Observation {
  return {
    shape: { promptTokens: 350, completionTokens: 16 },
    dtype: "float32",
    engine,
    completionsPerPass: 8,
    repetition,
    measurement: {
      updateSeconds,
      stepSeconds: 2 * updateSeconds,
      updateProcessorSeconds: 1,
      stepProcessorSeconds: 2,
      tokensComputed: 470,
      promptTokens: 350,
      completionTokens: 128,
      gradientNorm: 1,
      peakMemoryMib: 1000 + repetition,
    },
  };
}

// In turns, as they are measured. Medians by hand: one 2, other 20.
const observations = [
  observe("one", 1, 3),
  observe("other", 1, 20),
  observe("one", 2, 1),
  observe("other", 2, 30),
  observe("one", 3, 2),
  observe("other", 3, 10),
];

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
  it("groups the turns by engine", () => {
    const summaries = summarise(observations);
    expect(summaries.map(({ engine, repetitions }) => [engine, repetitions])).toEqual([
      ["one", 3],
      ["other", 3],
    ]);
    expect(summaries[0]?.updateSeconds).toEqual({ min: 1, median: 2, max: 3 });
    expect(summaries[1]?.stepSeconds).toEqual({ min: 20, median: 40, max: 60 });
    expect(summaries[0]?.peakMemoryMib).toBe(1003);
  });
});

describe("the tables", () => {
  it("relate every engine to the first one", () => {
    const text = renderMarkdown(readableTable(summarise(observations), []));
    expect(text).toContain(
      "| one | 2.00 (1.00 to 3.00) | 1.0 × | 4.00 (2.00 to 6.00) | 1.0 × | 470 | 8 | 1,003 |",
    );
    expect(text).toContain("| other | 20.00 (10.00 to 30.00) | 10.0 × |");
  });

  it("keep full precision in CSV", () => {
    const [header, first] = renderCsv(summaryTable(summarise(observations))).split("\n");
    expect(header).toMatch(
      /^promptTokens,completionTokens,dtype,engine,completionsPerPass,repetitions,updateSecondsMin,/,
    );
    expect(first).toBe("350,16,float32,one,8,3,1,2,3,2,4,6,1,1,1,2,2,2,470,1003");
  });
});

describe("measurementTable", () => {
  it("has one row for each step, with the shape's lengths", () => {
    const [header, first, second] = renderCsv(measurementTable(observations)).split("\n");
    expect(header).toBe(
      "promptTokens,completionTokens,dtype,engine,completionsPerPass,repetition,updateSeconds,stepSeconds," +
        "updateProcessorSeconds,stepProcessorSeconds,tokensComputed,gradientNorm,peakMemoryMib",
    );
    expect(first).toBe("350,16,float32,one,8,1,3,6,1,2,470,1,1001");
    expect(second).toBe("350,16,float32,other,8,1,20,40,1,2,470,1,1001");
  });
});

describe("parseShapes", () => {
  it("reads what formatShape writes", () => {
    expect(parseShapes("350+16, 1000+64").map(formatShape)).toEqual(["350+16", "1000+64"]);
  });

  it.each(["", "350", "350+", "0+16", "350+16;1000+64", "3.5+16"])("refuses %j", (text) => {
    expect(() => parseShapes(text)).toThrow(/is no shape/);
  });
});

describe("chooseTrlPass", () => {
  // 1500 + completions × tokens × 3.5 MiB, against 0.75 × 24,000 = 18,000 MiB and 0.75 × 8,000 = 6,000 MiB.
  it.each([
    // 350+16: 8 need 11,748, 4 need 6,624, 2 need 4,062. 1000+64: 8 need 31,292, 4 need 16,396, 2 need 8,948.
    [{ promptTokens: 350, completionTokens: 16 }, 24_000, 8],
    [{ promptTokens: 1000, completionTokens: 64 }, 24_000, 4],
    [{ promptTokens: 350, completionTokens: 16 }, 8_000, 2],
    [{ promptTokens: 1000, completionTokens: 64 }, 8_000, 1],
  ])("takes as much of the group as fits: %o in %i MiB", (shape, machineMib, expected) => {
    expect(chooseTrlPass(shape, machineMib)).toBe(expected);
  });
});
