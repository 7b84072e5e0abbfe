import { parseValue } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { goldenMissing, goldenNote, readGolden } from "./__fixtures__/golden.ts";
import { computeSum } from "./advantages.ts";
import { adaptKlCoefficient, computeKl, computeKlAdvantages, computeKls } from "./kl.ts";

const matrix = z.array(z.array(z.number()));

describe("computeKl", () => {
  it.skipIf(goldenMissing)(`equals verl's estimators${goldenNote}`, () => {
    const cases = readGolden();
    const { log_prob, ref_log_prob } = cases.inputs;
    const pairs = [
      ["k1", "k1"],
      ["kl", "k1"],
      ["abs", "abs"],
      ["k2", "k2"],
      ["mse", "k2"],
      ["k3", "k3"],
      ["low_var_kl", "k3"],
    ] as const;
    for (const [name, estimator] of pairs) {
      const { kl } = parseValue(cases[`verl/kl/${name}`], z.object({ kl: matrix }), name);
      const ours = computeKls(log_prob, ref_log_prob, {
        estimator,
        clamp: estimator === "k3" ? 10 : 0,
      });
      for (const [index, row] of ours.entries())
        for (const [token, value] of row.entries())
          expect(Math.abs(value - (kl[index]?.[token] ?? Number.NaN))).toBeLessThan(1e-9);
    }
  });

  it.skipIf(goldenMissing)(`times -coefficient is TRL's reward of a token${goldenNote}`, () => {
    const cases = readGolden();
    const { old_log_prob, ref_log_prob } = cases.inputs;
    const schema = z.object({
      rewards: matrix,
      sequence_lengths: z.array(z.int()),
      kl_coef: z.number(),
    });
    const trl = parseValue(cases["trl/ppo/k1"], schema, "trl/ppo/k1");
    const ours = computeKls(old_log_prob, ref_log_prob, { estimator: "k1", clamp: 0 });
    for (const [index, last] of trl.sequence_lengths.entries())
      // The last token is left out: TRL adds the reward to it, or to the one behind.
      for (const [token, kl] of (ours[index] ?? []).slice(0, last).entries())
        expect(
          Math.abs(-trl.kl_coef * kl - (trl.rewards[index]?.[token] ?? Number.NaN)),
        ).toBeLessThan(1e-9);
  });

  it("clamps by hand, as verl's k3", () => {
    // d = -3: e^3 - 3 - 1 = 16.08.
    expect(computeKl(-1, 2, { estimator: "k3", clamp: 0 }).kl).toBeCloseTo(16.0855, 4);
    expect(computeKl(-1, 2, { estimator: "k3", clamp: 10 })).toEqual({ kl: 10, slope: 0 });
    // d = 800: the exponent is held at -20, the value e^-20 + 20 - 1 at 10.
    expect(computeKl(0, -800, { estimator: "k3", clamp: 10 })).toEqual({ kl: 10, slope: 0 });
    expect(computeKl(0, -800, { estimator: "k3", clamp: 100 }).kl).toBeCloseTo(19, 8);
    expect(computeKl(-800, 0, { estimator: "k3", clamp: 1e12 }).slope).toBe(0);
    expect(computeKl(-4, 0, { estimator: "k1", clamp: 2 })).toEqual({ kl: -2, slope: 0 });
    expect(computeKl(-1, -1, { estimator: "k3", clamp: 10 }).kl).toBe(0);
  });
});

describe("computeKlAdvantages", () => {
  it("moves tokens against their drift and sums to 0", () => {
    // d is 1, 0 and 2: mean 1.
    const { advantages, meanKl } = computeKlAdvantages([[-1, -2], [-3]], [[-2, -2], [-5]], 0.1);
    expect(meanKl).toBe(1);
    expect(advantages[0]?.[0]).toBeCloseTo(0, 12);
    expect(advantages[0]?.[1]).toBeCloseTo(0.1, 12);
    expect(advantages[1]?.[0]).toBeCloseTo(-0.1, 12);
    // d^2 / 2 is 0.5, 0 and 2.
    const squares = computeKlAdvantages([[-1, -2], [-3]], [[-2, -2], [-5]], 1, {
      estimator: "k2",
      clamp: 0,
    });
    expect(squares.meanKl).toBeCloseTo(2.5 / 3, 12);
    expect(computeSum(squares.advantages.flat())).toBeCloseTo(0, 12);
    expect(squares.advantages[1]?.[0]).toBeCloseTo(2.5 / 3 - 2, 12);
  });

  it("refuses a reference of another shape", () => {
    expect(() => computeKlAdvantages([[-1, -2]], [[-1]], 1)).toThrow(RangeError);
  });
});

describe("adaptKlCoefficient", () => {
  it("moves towards the target by a fifth at most", () => {
    const options = { target: 0.1, horizon: 1000 };
    // 0.11 / 0.1 - 1 = 0.1; 100 of 1000 samples.
    expect(adaptKlCoefficient(0.2, 0.11, 100, options)).toBeCloseTo(0.2 * 1.01, 12);
    expect(adaptKlCoefficient(0.2, 5, 100, options)).toBeCloseTo(0.2 * 1.02, 12);
    expect(adaptKlCoefficient(0.2, 0, 100, options)).toBeCloseTo(0.2 * 0.98, 12);
    expect(adaptKlCoefficient(0.2, 0.1, 100, options)).toBe(0.2);
  });
});
