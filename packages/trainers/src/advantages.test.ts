import { parseValue } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { goldenMissing, goldenNote, readGolden } from "./__fixtures__/golden.ts";
import {
  computeAdvantages,
  computeDeviation,
  computeMean,
  type AdvantageOptions,
} from "./advantages.ts";

const verl = { scale: "group", epsilon: 1e-6, bessel: true } as const;
const rowsSchema = z.object({ advantages: z.array(z.array(z.number())) });
const listSchema = z.object({ advantages: z.array(z.number()) });

function values(rewards: readonly (readonly (number | undefined)[])[], options: AdvantageOptions) {
  return computeAdvantages(rewards, options).map((group) =>
    group.samples.map((sample) => sample.advantage),
  );
}

describe("computeAdvantages", () => {
  it.skipIf(goldenMissing)(`equals verl and TRL${goldenNote}`, () => {
    const cases = readGolden();
    const { scores, group } = cases.inputs;
    const rewards = ["a", "b"].map((name) => scores.filter((_, index) => group[index] === name));
    const check = (key: string, options: AdvantageOptions) => {
      const ours = values(rewards, options).flat();
      const schema = z.union([rowsSchema, listSchema]);
      const theirs = parseValue(cases[key], schema, key).advantages.map((row) =>
        // verl repeats a sample's advantage over its tokens, the first of which is never masked.
        Array.isArray(row) ? (row[0] ?? Number.NaN) : row,
      );
      expect(ours).toHaveLength(8);
      for (const [index, advantage] of ours.entries())
        expect(Math.abs(advantage - (theirs[index] ?? Number.NaN))).toBeLessThan(1e-9);
    };
    check("verl/grpo_adv/norm=True", verl);
    check("verl/grpo_adv/norm=False", { ...verl, scale: "none" });
    check("verl/rloo_adv", { ...verl, scale: "none", baseline: "leave-one-out" });
    check("trl/adv/group", { ...verl, epsilon: 1e-4 });
    check("trl/adv/batch", { ...verl, epsilon: 1e-4, scale: "batch" });
    check("trl/adv/none", { ...verl, epsilon: 1e-4, scale: "none" });
  });

  it("divides by the population's deviation without bessel", () => {
    // Rewards 1 and 3: mean 2, population deviation 1.
    expect(values([[1, 3]], { scale: "group", epsilon: 0, bessel: false })).toEqual([[-1, 1]]);
  });

  it("compares with the mean of the others, unscored ones left out", () => {
    // 1 against (2 + 6) / 2, 2 against 7 / 2, 6 against 3 / 2.
    expect(
      values([[1, 2, undefined, 6]], { ...verl, scale: "none", baseline: "leave-one-out" }),
    ).toEqual([[-3, -1.5, 0, 4.5]]);
    expect(values([[4], [undefined, 4], [3, 3]], { ...verl, baseline: "leave-one-out" })).toEqual([
      [0],
      [0, 0],
      [0, 0],
    ]);
  });

  it("gives exact zeros for equal rewards, although their mean is off by a rounding error", () => {
    expect((0.1 + 0.1 + 0.1) / 3).not.toBe(0.1);
    const [group] = computeAdvantages([[0.1, 0.1, 0.1]], { ...verl, epsilon: 0 });
    expect(group?.samples.map((sample) => sample.advantage)).toEqual([0, 0, 0]);
    expect(group?.zeroVariance).toBe(true);
  });

  it("leaves unscored rewards out of mean and deviation", () => {
    const [group] = computeAdvantages([[0, undefined, 2]], {
      scale: "group",
      epsilon: 0,
      bessel: true,
    });
    // Mean 1 and sample deviation sqrt(2) of 0 and 2.
    expect(group?.samples.map((sample) => sample.scored)).toEqual([true, false, true]);
    expect(group?.samples[0]?.advantage).toBeCloseTo(-Math.SQRT1_2, 12);
    expect(group?.samples[1]?.advantage).toBe(0);
    expect(group?.samples[2]?.advantage).toBeCloseTo(Math.SQRT1_2, 12);
    expect(group?.zeroVariance).toBe(false);
  });

  it("gives 0 to a single sample, to an unscored group and to no group", () => {
    expect(values([[5], [undefined, undefined], [undefined, 7]], verl)).toEqual([
      [0],
      [0, 0],
      [0, 0],
    ]);
    expect(values([[]], verl)).toEqual([[]]);
    expect(values([], verl)).toEqual([]);
  });
});

describe("computeDeviation", () => {
  it("is 0 for fewer than two values", () => {
    expect(computeDeviation([], true)).toBe(0);
    expect(computeDeviation([4], true)).toBe(0);
    expect(computeMean([])).toBe(0);
  });
});
