import { parseValue } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { goldenMissing, goldenNote, masked, readGolden } from "./__fixtures__/golden.ts";
import { computeSum } from "./advantages.ts";
import { computeKlAdvantages } from "./kl.ts";
import {
  computeLossScales,
  computeTokenLoss,
  type LossAggregation,
  type PolicyLoss,
} from "./policy-loss.ts";

const ppo = { kind: "ppo", clipLow: 0.2, clipHigh: 0.2 } as const;
const onPolicy = { kind: "importance_sampling" } as const;
const lossSchema = z.object({ loss: z.number() });

describe("computeLossScales", () => {
  it.skipIf(goldenMissing)(`makes the sum of losses verl's aggregates${goldenNote}`, () => {
    const cases = readGolden();
    const schema = z.object({
      loss_mat: z.array(z.array(z.number())),
      mask: z.array(z.array(z.number())),
      loss: z.number(),
    });
    const check = (key: string, aggregation: LossAggregation, factor: (rows: number) => number) => {
      const { loss_mat: matrix, mask, loss } = parseValue(cases[key], schema, key);
      const rows = matrix.map((row, index) => masked(row, mask[index] ?? []));
      const scales = computeLossScales(
        rows.map((row) => row.length),
        aggregation,
      );
      const total = computeSum(rows.map((row, index) => computeSum(row) * (scales[index] ?? 0)));
      // verl adds 1e-8 to its divisors, which moves the value by less than this.
      expect(total * factor(rows.filter((row) => row.length > 0).length)).toBeCloseTo(loss, 8);
    };
    check("verl/agg/token-mean", { kind: "token-mean" }, () => 1);
    check("verl/agg/seq-mean-token-mean", { kind: "sequence-mean-token-mean" }, () => 1);
    const { mask } = cases.inputs;
    const width = mask[0]?.length ?? 0;
    // verl divides by the width of its tensors and not by the number of sequences.
    check(
      "verl/agg/seq-mean-token-sum-norm",
      { kind: "sequence-mean-token-sum-norm", length: width },
      (rows) => rows,
    );
  });

  it("counts an empty sequence for nothing", () => {
    // Two sequences of 1 and 3 tokens: 1 / (2 * 1) and 1 / (2 * 3).
    expect(computeLossScales([1, 0, 3], { kind: "sequence-mean-token-mean" })).toEqual([
      0.5,
      0,
      1 / 6,
    ]);
    expect(computeLossScales([1, 0, 3], { kind: "token-mean" })).toEqual([0.25, 0, 0.25]);
    expect(
      computeLossScales([1, 0, 3], { kind: "sequence-mean-token-sum-norm", length: 10 }),
    ).toEqual([0.05, 0, 0.05]);
    expect(computeLossScales([], { kind: "token-mean" })).toEqual([]);
  });
});

describe("computeTokenLoss", () => {
  it.skipIf(goldenMissing)(`gives TRL's losses when summed with the scales${goldenNote}`, () => {
    const cases = readGolden();
    const { mask, log_prob, old_log_prob, trl_advantages } = cases.inputs;
    const check = (
      key: string,
      aggregation: LossAggregation,
      loss: PolicyLoss,
      sampledLogProbs: readonly (readonly number[])[],
    ) => {
      const lengths = mask.map((row) => computeSum(row));
      const scales = computeLossScales(lengths, aggregation);
      const total = computeSum(
        mask.map((row, index) => {
          const advantage = (trl_advantages[index] ?? Number.NaN) * (scales[index] ?? Number.NaN);
          const sampled = masked(sampledLogProbs[index] ?? [], row);
          return computeSum(
            masked(log_prob[index] ?? [], row).map(
              (logProb, token) =>
                computeTokenLoss(logProb, sampled[token] ?? Number.NaN, advantage, loss).loss,
            ),
          );
        }),
      );
      const expected = parseValue(cases[key], lossSchema, key).loss;
      expect(Math.abs(total - expected)).toBeLessThan(1e-9);
    };
    const width = mask[0]?.length ?? 0;
    const sumNorm = { kind: "sequence-mean-token-sum-norm", length: width } as const;
    check("trl/loss/dapo/token/beta=0.0", { kind: "token-mean" }, ppo, old_log_prob);
    check("trl/loss/bnpo/token/beta=0.0", { kind: "token-mean" }, ppo, old_log_prob);
    check("trl/loss/grpo/token/beta=0.0", { kind: "sequence-mean-token-mean" }, ppo, old_log_prob);
    check("trl/loss/dr_grpo/token/beta=0.0", sumNorm, ppo, old_log_prob);
    check("trl/loss/dapo/onpolicy", { kind: "token-mean" }, onPolicy, log_prob);
    check("trl/loss/dapo/onpolicy", { kind: "token-mean" }, ppo, log_prob);
  });

  it.skipIf(goldenMissing)(`clips the share of tokens that verl counts${goldenNote}`, () => {
    const cases = readGolden();
    const { mask, log_prob, old_log_prob, advantages } = cases.inputs;
    const key = "verl/vanilla/lo=0.2/hi=0.2/c=3/token-mean";
    const schema = z.object({ metrics: z.object({ "actor/pg_clipfrac": z.number() }) });
    const expected = parseValue(cases[key], schema, key).metrics["actor/pg_clipfrac"];
    const clipped = mask.flatMap((row, index) => {
      const sampled = masked(old_log_prob[index] ?? [], row);
      const weights = masked(advantages[index] ?? [], row);
      return masked(log_prob[index] ?? [], row).map((logProb, token): number =>
        computeTokenLoss(logProb, sampled[token] ?? Number.NaN, weights[token] ?? Number.NaN, ppo)
          .clipped
          ? 1
          : 0,
      );
    });
    expect(computeSum(clipped) / clipped.length).toBeCloseTo(expected, 8);
  });

  it("has the slope that finite differences show, clipped or not", () => {
    const step = 1e-6;
    for (const loss of [ppo, onPolicy])
      for (const advantage of [-1.5, 0, 2])
        for (const logProb of [-1.4, -1.05, -1, -0.9, -0.5]) {
          const at = (value: number) => computeTokenLoss(value, -1, advantage, loss).loss;
          const difference = (at(logProb + step) - at(logProb - step)) / (2 * step);
          const { slope } = computeTokenLoss(logProb, -1, advantage, loss);
          expect(Math.abs(slope - difference)).toBeLessThan(1e-8);
        }
  });

  it("clips only what would overshoot", () => {
    // ratio e^0.5 = 1.65 with a positive advantage is held at 1.2; with a negative one it is not.
    expect(computeTokenLoss(-0.5, -1, 1, ppo)).toEqual({ loss: -1.2, slope: 0, clipped: true });
    expect(computeTokenLoss(-0.5, -1, -1, ppo).clipped).toBe(false);
    expect(computeTokenLoss(-0.5, -1, -1, ppo).loss).toBeCloseTo(Math.exp(0.5), 12);
    // ratio e^-0.5 = 0.61 with a negative advantage is held at 0.8.
    expect(computeTokenLoss(-1.5, -1, -1, ppo)).toEqual({ loss: 0.8, slope: 0, clipped: true });
    expect(computeTokenLoss(-1.5, -1, 1, ppo).clipped).toBe(false);
  });
});

describe("computeKlAdvantages", () => {
  it.skipIf(goldenMissing)(`uses verl's k1 per token${goldenNote}`, () => {
    const cases = readGolden();
    const { log_prob, ref_log_prob } = cases.inputs;
    const { kl } = parseValue(
      cases["verl/kl/k1"],
      z.object({ kl: z.array(z.array(z.number())) }),
      "verl/kl/k1",
    );
    const { advantages, meanKl } = computeKlAdvantages(log_prob, ref_log_prob, 0.5);
    expect(meanKl).toBeCloseTo(computeSum(kl.flat()) / kl.flat().length, 12);
    for (const [index, row] of advantages.entries())
      for (const [token, advantage] of row.entries())
        expect(advantage).toBeCloseTo(0.5 * (meanKl - (kl[index]?.[token] ?? Number.NaN)), 12);
  });

  it("moves tokens against their drift and sums to 0", () => {
    // d is 1, 0 and 2: mean 1.
    const { advantages, meanKl } = computeKlAdvantages([[-1, -2], [-3]], [[-2, -2], [-5]], 0.1);
    expect(meanKl).toBe(1);
    expect(advantages[0]?.[0]).toBeCloseTo(0, 12);
    expect(advantages[0]?.[1]).toBeCloseTo(0.1, 12);
    expect(advantages[1]?.[0]).toBeCloseTo(-0.1, 12);
  });

  it("refuses a reference of another shape", () => {
    expect(() => computeKlAdvantages([[-1, -2]], [[-1]], 1)).toThrow(RangeError);
  });
});
