import { bootstrapMean, computeWilsonInterval } from "@memory-r1/metrics";
import { renderText } from "@memory-r1/report";
import { createRandom, graded, type Outcome, ungraded } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createScoreAccumulator, summaryTable } from "./score-summary.ts";

function summarise(outcomes: readonly (readonly [category: string | undefined, Outcome])[]) {
  const accumulator = createScoreAccumulator(["m"]);
  for (const [category, outcome] of outcomes) accumulator.add(category, new Map([["m", outcome]]));
  return accumulator.summarise();
}

describe("createScoreAccumulator", () => {
  it("averages what was graded, over all and by category in order, and counts the rest", () => {
    const summary = summarise([
      ["10", graded(0.5)],
      ["2", graded(0.25)],
      ["2", ungraded("no gold answer")],
      [undefined, graded(0)],
    ]);
    expect(
      summary.rows.map(({ category, mean, graded: count, ungraded: left }) => [
        category,
        mean,
        count,
        left,
      ]),
    ).toEqual([
      [undefined, 0.25, 3, 1],
      ["2", 0.25, 1, 1],
      ["10", 0.5, 1, 0],
    ]);
    expect(summary).toMatchObject({ lines: 4, malformed: 0 });
  });

  it("has no mean and no interval of nothing", () => {
    expect(summarise([[undefined, ungraded("x")]]).rows).toEqual([
      {
        metric: "m",
        category: undefined,
        mean: undefined,
        interval: undefined,
        graded: 0,
        ungraded: 1,
      },
    ]);
  });

  it("takes Wilson's interval for scores of 0 and 1", () => {
    const [row] = summarise([
      ["a", graded(1)],
      ["a", graded(0)],
      ["a", graded(1)],
    ]).rows;
    expect(row?.interval).toEqual({ ...computeWilsonInterval(2, 3), method: "wilson" });
  });

  it("takes a bootstrap for other scores: near that of another seed, and none of one score", () => {
    const outcomes = Array.from({ length: 500 }, (_, index) => graded((index % 10) / 10));
    const [row] = summarise(outcomes.map((outcome) => [undefined, outcome])).rows;
    const other = bootstrapMean(outcomes, createRandom(99));
    expect(row?.interval?.method).toBe("bootstrap");
    expect(row?.interval?.low).toBeCloseTo(other?.low ?? 0, 2);
    expect(row?.interval?.high).toBeCloseTo(other?.high ?? 0, 2);
    expect(summarise([[undefined, graded(0.5)]]).rows[0]?.interval).toBeUndefined();
  });

  it("takes the normal interval for more scores than are worth resampling", () => {
    const outcomes = Array.from({ length: 2001 }, (_, index) => graded((index % 3) / 2));
    const [row] = summarise(outcomes.map((outcome) => [undefined, outcome])).rows;
    // NumPy 2.4.6, x = 667 times 0, 0.5 and 1: x.std(ddof=1) / numpy.sqrt(2001) * 1.959963984540054.
    const reach = 0.017891941437171575;
    expect(row?.interval?.method).toBe("normal");
    expect(row?.mean).toBeCloseTo(0.5, 12);
    expect(row?.interval?.low).toBeCloseTo(0.5 - reach, 12);
    expect(row?.interval?.high).toBeCloseTo(0.5 + reach, 12);
  });

  it("gives no rows to a field with too many values to be categories", () => {
    const summary = summarise(
      Array.from({ length: 60 }, (_, index) => [`id ${index}`, graded(1)] as const),
    );
    expect(summary.rows).toHaveLength(51);
    expect(summary.rows[0]).toMatchObject({ category: undefined, graded: 60 });
    expect(summary.categoriesLeftOut).toBe(true);
    expect(summaryTable(summary).notes[1]).toBe("Only the first 50 categories have rows.");
  });
});

describe("summaryTable", () => {
  it("is for a person", () => {
    const accumulator = createScoreAccumulator(["m"]);
    accumulator.add("2", new Map([["m", graded(1)]]));
    accumulator.addMalformed();
    expect(renderText(summaryTable(accumulator.summarise()))).toBe(
      [
        "Metric  Category   Mean   95 % interval  by      Graded  Ungraded",
        "──────  ────────  ─────  ──────────────  ──────  ──────  ────────",
        // statsmodels 0.15.0: proportion_confint(1, 1, method="wilson").
        "m       all       1.000  0.207 to 1.000  wilson       1         0",
        "m       2         1.000  0.207 to 1.000  wilson       1         0",
        "Note: 2 lines, 1 malformed.",
        "",
      ].join("\n"),
    );
  });
});
