import { parseValue } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { goldenMissing, goldenNote, masked, readGolden } from "./__fixtures__/golden.ts";
import { computeMean, computeSum } from "./advantages.ts";
import {
  computeLossScales,
  computeTokenLoss,
  computeTokenLosses,
  hasLossTerms,
  toWireLoss,
  type LossAggregation,
  type LossScaleOptions,
  type PolicyLoss,
  type TokenLoss,
} from "./policy-loss.ts";

const ppo = { kind: "ppo", clipLow: 0.2, clipHigh: 0.2 } as const;
const onPolicy = { kind: "importance_sampling" } as const;
const matrix = z.array(z.array(z.number()));
/** verl adds 1e-8 to a sequence's length and to the number of tokens where it takes a metric's mean. */
const verlEpsilon = 1e-8;

function expectClose(found: number, expected: number): void {
  expect(Math.abs(found - expected)).toBeLessThan(1e-9);
}

describe("computeLossScales", () => {
  it.skipIf(goldenMissing)(`makes the sum of losses verl's aggregates${goldenNote}`, () => {
    expect.hasAssertions();
    const cases = readGolden();
    const schema = z.object({
      loss_mat: matrix,
      mask: matrix,
      loss: z.number(),
      loss_global: z.number(),
    });
    const check = (
      key: string,
      aggregation: LossAggregation,
      whole: LossAggregation = aggregation,
    ): void => {
      const golden = parseValue(cases[key], schema, key);
      const rows = golden.loss_mat.map((row, index) => masked(row, golden.mask[index] ?? []));
      const aggregate = (one: LossAggregation, options: LossScaleOptions): number => {
        const scales = computeLossScales(
          rows.map((row) => row.length),
          one,
          { lengthEpsilon: verlEpsilon, ...options },
        );
        return computeSum(rows.map((row, index) => computeSum(row) * (scales[index] ?? 0)));
      };
      expectClose(aggregate(aggregation, {}), golden.loss);
      // The golden file's whole batch: 100 tokens, 32 sequences, on 2 workers whose losses are averaged.
      const totals = { tokens: 100 / 2, sequences: 32 / 2 };
      expectClose(aggregate(whole, { totals }), golden.loss_global);
    };
    const width = cases.inputs.mask[0]?.length ?? 0;
    check("verl/agg/token-mean", { kind: "token-mean" });
    check("verl/agg/seq-mean-token-mean", { kind: "sequence-mean-token-mean" });
    check("verl/agg/seq-mean-token-sum", { kind: "sequence-mean-token-sum" });
    // verl divides by the width of its tensors, or by `loss_scale_factor`.
    check(
      "verl/agg/seq-mean-token-sum-norm",
      { kind: "token-sum-norm", length: width },
      { kind: "token-sum-norm", length: 2048 },
    );
  });

  it("counts an empty sequence for nothing, or as one of loss 0", () => {
    // Two sequences of 1 and 3 tokens: 1 / (2 * 1) and 1 / (2 * 3).
    const lengths = [1, 0, 3];
    const mean = { kind: "sequence-mean-token-mean" } as const;
    expect(computeLossScales(lengths, mean)).toEqual([0.5, 0, 1 / 6]);
    expect(computeLossScales(lengths, mean, { emptySequences: "counted" })).toEqual([
      1 / 3,
      0,
      1 / 9,
    ]);
    expect(computeLossScales(lengths, { kind: "token-mean" })).toEqual([0.25, 0, 0.25]);
    expect(computeLossScales(lengths, { kind: "sequence-mean-token-sum" })).toEqual([0.5, 0, 0.5]);
    expect(
      computeLossScales(lengths, { kind: "sequence-mean-token-sum-norm", length: 10 }),
    ).toEqual([0.05, 0, 0.05]);
    expect(computeLossScales(lengths, { kind: "token-sum-norm", length: 10 })).toEqual([
      0.1, 0, 0.1,
    ]);
    expect(computeLossScales([], { kind: "token-mean" })).toEqual([]);
  });

  it("adds up over the parts of a step", () => {
    const lengths = [1, 2, 3, 4];
    const totals = { tokens: 10, sequences: 4 };
    for (const kind of ["token-mean", "sequence-mean-token-mean"] as const)
      expect([
        ...computeLossScales(lengths.slice(0, 1), { kind }, { totals }),
        ...computeLossScales(lengths.slice(1), { kind }, { totals }),
      ]).toEqual(computeLossScales(lengths, { kind }));
  });
});

/** The losses [sequences][tokens] of the golden file's batch. */
function computeGoldenLosses(
  loss: PolicyLoss,
  advantages: "one per token" | "one per sequence",
  sampled: "old_log_prob" | "log_prob" = "old_log_prob",
): readonly (readonly TokenLoss[])[] {
  const { inputs } = readGolden();
  return inputs.mask.map((row, index) => {
    const cut = (rows: readonly (readonly number[])[]) => masked(rows[index] ?? [], row);
    return computeTokenLosses(
      {
        logProbs: cut(inputs.log_prob),
        sampledLogProbs: cut(inputs[sampled]),
        advantages:
          advantages === "one per token"
            ? cut(inputs.advantages)
            : masked(
                row.map(() => inputs.trl_advantages[index] ?? Number.NaN),
                row,
              ),
      },
      loss,
    );
  });
}

function aggregate(
  losses: readonly (readonly TokenLoss[])[],
  aggregation: LossAggregation,
  lengthEpsilon = 0,
): number {
  const scales = computeLossScales(
    losses.map((row) => row.length),
    aggregation,
    { lengthEpsilon },
  );
  return computeSum(
    losses.map((row, index) => computeSum(row.map(({ loss }) => loss)) * (scales[index] ?? 0)),
  );
}

const share = (tokens: readonly TokenLoss[], is: (token: TokenLoss) => boolean): number =>
  tokens.filter(is).length / tokens.length;

describe("computeTokenLosses", () => {
  it.skipIf(goldenMissing)(`equals TRL's losses and clip ratios${goldenNote}`, () => {
    expect.hasAssertions();
    const cases = readGolden();
    const width = cases.inputs.mask[0]?.length ?? 0;
    const schema = z.object({
      loss: z.number(),
      metrics: z.object({
        "clip_ratio/low_mean": z.number(),
        "clip_ratio/high_mean": z.number(),
        "clip_ratio/region_mean": z.number(),
      }),
    });
    const aggregations = {
      grpo: { kind: "sequence-mean-token-mean" },
      bnpo: { kind: "token-mean" },
      dapo: { kind: "token-mean" },
      dr_grpo: { kind: "sequence-mean-token-sum-norm", length: width },
    } as const;
    const check = (
      key: string,
      aggregation: LossAggregation,
      loss: PolicyLoss,
      sampled: "old_log_prob" | "log_prob" = "old_log_prob",
    ): void => {
      const expected = parseValue(cases[key], schema, key);
      const losses = computeGoldenLosses(loss, "one per sequence", sampled);
      expectClose(aggregate(losses, aggregation), expected.loss);
      // At the level of sequences TRL counts sequences, at that of tokens tokens.
      const units = loss.kind === "gspo" ? losses.flatMap((row) => row.slice(0, 1)) : losses.flat();
      expectClose(
        share(units, (token) => token.clipped),
        expected.metrics["clip_ratio/region_mean"],
      );
      // Only a positive advantage is clipped from above: then the slope of the loss is negative.
      const isLow = (token: TokenLoss): boolean => token.clipped && token.loss > 0;
      expectClose(share(units, isLow), expected.metrics["clip_ratio/low_mean"]);
    };
    for (const [name, aggregation] of Object.entries(aggregations)) {
      check(`trl/loss/${name}/token/beta=0.0`, aggregation, ppo);
      check(`trl/loss/${name}/sequence/beta=0.0`, aggregation, { ...ppo, kind: "gspo" });
    }
    check("trl/loss/dapo/hi=.28/delta=4", aggregations.dapo, {
      ...ppo,
      clipHigh: 0.28,
      dualClip: 4,
    });
    check("trl/loss/dapo/onpolicy", aggregations.dapo, onPolicy, "log_prob");
    check("trl/loss/dapo/onpolicy", aggregations.dapo, ppo, "log_prob");
  });

  it.skipIf(goldenMissing)(`equals verl's losses with its dual clip${goldenNote}`, () => {
    expect.hasAssertions();
    const cases = readGolden();
    const width = cases.inputs.mask[0]?.length ?? 0;
    const schema = z.object({
      loss: z.number(),
      metrics: z.object({
        "actor/pg_clipfrac": z.number(),
        "actor/ppo_kl": z.number(),
        "actor/pg_clipfrac_lower": z.number(),
      }),
    });
    const losses = computeGoldenLosses({ ...ppo, dualClip: 3, logRatioClamp: 20 }, "one per token");
    const tokens = losses.flat();
    const { mask, log_prob, old_log_prob } = cases.inputs;
    const drift = mask.flatMap((row, index) => {
      const now = masked(log_prob[index] ?? [], row);
      return masked(old_log_prob[index] ?? [], row).map(
        (sampled, token) => sampled - (now[token] ?? Number.NaN),
      );
    });
    const aggregations = {
      "token-mean": { kind: "token-mean" },
      "seq-mean-token-mean": { kind: "sequence-mean-token-mean" },
      "seq-mean-token-sum": { kind: "sequence-mean-token-sum" },
      "seq-mean-token-sum-norm": { kind: "token-sum-norm", length: width },
    } as const;
    for (const [name, aggregation] of Object.entries(aggregations)) {
      const key = `verl/vanilla/lo=0.2/hi=0.2/c=3/${name}`;
      const expected = parseValue(cases[key], schema, key);
      expectClose(aggregate(losses, aggregation, verlEpsilon), expected.loss);
      const factor = tokens.length / (tokens.length + verlEpsilon);
      expectClose(
        factor * share(tokens, (token) => token.clipped),
        expected.metrics["actor/pg_clipfrac"],
      );
      expectClose(
        factor * share(tokens, (token) => token.dualClipped),
        expected.metrics["actor/pg_clipfrac_lower"],
      );
      expectClose(factor * computeMean(drift), expected.metrics["actor/ppo_kl"]);
    }
  });

  it("has the slope that finite differences show, term by term, clipped or not", () => {
    const step = 1e-6;
    const kl = { coefficient: 0.3, estimator: "k3", clamp: 0 } as const;
    const losses: readonly PolicyLoss[] = [
      onPolicy,
      ppo,
      { ...ppo, dualClip: 1.5 },
      { ...ppo, kl },
      { ...onPolicy, kl: { ...kl, estimator: "k1" } },
      { ...onPolicy, kl: { ...kl, estimator: "k2" } },
      { ...onPolicy, kl: { ...kl, estimator: "abs" } },
      { ...onPolicy, kl: { ...kl, clamp: 0.05 } },
      { ...onPolicy, logRatioClamp: 0.3 },
      { ...ppo, kl, entropyCoefficient: 0.1, logRatioClamp: 0.45 },
    ];
    for (const loss of losses)
      for (const advantage of [-1.5, 0, 2])
        for (const logProb of [-1.41, -1.05, -1, -0.9, -0.51]) {
          const at = (value: number) =>
            computeTokenLosses(
              {
                logProbs: [value],
                sampledLogProbs: [-1],
                advantages: [advantage],
                weights: [0.7],
                referenceLogProbs: [-1.2],
                entropies: [2],
              },
              loss,
            )[0];
          const difference =
            ((at(logProb + step)?.loss ?? Number.NaN) - (at(logProb - step)?.loss ?? Number.NaN)) /
            (2 * step);
          expect(Math.abs((at(logProb)?.slope ?? Number.NaN) - difference)).toBeLessThan(1e-8);
        }
  });

  it("has gspo's slope, summed over a sequence, and cispo's, with its ratio a constant", () => {
    const step = 1e-6;
    const inputs = {
      sampledLogProbs: [-1, -2, -3],
      advantages: [1.5, 1.5, 1.5],
      weights: [0.2, 0.2, 0.2],
    };
    // Every token moved at once moves the mean as much: the sum of slopes is the derivative of the sum of losses.
    const sumOf = (delta: number, clip: number) => {
      const logProbs = [-0.9 + delta, -2.1 + delta, -2.8 + delta];
      const tokens = computeTokenLosses(
        { ...inputs, logProbs },
        { kind: "gspo", clipLow: clip, clipHigh: clip },
      );
      return {
        loss: computeSum(tokens.map(({ loss }) => loss)),
        slope: computeSum(tokens.map(({ slope }) => slope)),
      };
    };
    for (const clip of [0.01, 0.5])
      expect(sumOf(0, clip).slope).toBeCloseTo(
        (sumOf(step, clip).loss - sumOf(-step, clip).loss) / (2 * step),
        8,
      );
    expect(sumOf(0, 0.01).slope).toBe(0);
    // Mean log-ratio 0.2 / 3.
    expect(sumOf(0, 0.5).slope).toBeCloseTo(-3 * 0.2 * 1.5 * Math.exp(0.2 / 3), 12);

    // Ratio e^0.5 held at 1.2: loss -1.2 * 2 * -0.5, slope -1.2 * 2.
    const [held] = computeTokenLosses(
      { logProbs: [-0.5], sampledLogProbs: [-1], advantages: [2] },
      { kind: "cispo", clipLow: 0.2, clipHigh: 0.2 },
    );
    expect(held?.loss).toBeCloseTo(1.2, 12);
    expect(held?.slope).toBeCloseTo(-2.4, 12);
    expect(held?.clipped).toBe(true);
    // Without a lower bound a small ratio stays as it is.
    const [free] = computeTokenLosses(
      { logProbs: [-3], sampledLogProbs: [-1], advantages: [2] },
      { kind: "cispo", clipLow: 1, clipHigh: 4 },
    );
    expect(free?.slope).toBeCloseTo(-2 * Math.exp(-2), 12);
    expect(free?.clipped).toBe(false);
  });

  it("adds weight, divergence and entropy by hand", () => {
    // d = 0.5: k2 0.125. Policy -1 * 2; loss 0.1 * (-2 + 4 * 0.125 - 0.5 * 3).
    const [token] = computeTokenLosses(
      {
        logProbs: [-1],
        sampledLogProbs: [-1],
        advantages: [2],
        weights: [0.1],
        referenceLogProbs: [-1.5],
        entropies: [3],
      },
      {
        ...onPolicy,
        kl: { coefficient: 4, estimator: "k2", clamp: 0 },
        entropyCoefficient: 0.5,
      },
    );
    expect(token?.loss).toBeCloseTo(-0.3, 12);
    expect(token?.policy).toBeCloseTo(-0.2, 12);
    expect(token?.kl).toBeCloseTo(0.0125, 12);
    expect(token?.slope).toBeCloseTo(0.1 * (-2 + 4 * 0.5), 12);
    expect(
      computeTokenLosses({ logProbs: [], sampledLogProbs: [], advantages: [] }, onPolicy),
    ).toEqual([]);
    const missing = { logProbs: [-1], sampledLogProbs: [-1], advantages: [2] };
    expect(computeTokenLosses(missing, { ...onPolicy, entropyCoefficient: 1 })[0]?.loss).toBeNaN();
  });

  it("clips only what would overshoot", () => {
    const at = (logProb: number, advantage: number, loss: PolicyLoss = ppo) =>
      computeTokenLoss(logProb, -1, advantage, loss);
    // ratio e^0.5 = 1.65 with a positive advantage is held at 1.2; with a negative one it is not.
    expect(at(-0.5, 1)).toEqual({ loss: -1.2, slope: 0, clipped: true, dualClipped: false });
    expect(at(-0.5, -1).clipped).toBe(false);
    expect(at(-0.5, -1).loss).toBeCloseTo(Math.exp(0.5), 12);
    // ratio e^-0.5 = 0.61 with a negative advantage is held at 0.8.
    expect(at(-1.5, -1)).toEqual({ loss: 0.8, slope: 0, clipped: true, dualClipped: false });
    expect(at(-1.5, 1).clipped).toBe(false);
    // The dual clip bounds what the first leaves open: ratio 1.65 with a negative advantage, at 1.5.
    const dual = { ...ppo, dualClip: 1.5 };
    expect(at(-0.5, -1, dual)).toEqual({ loss: 1.5, slope: 0, clipped: false, dualClipped: true });
    expect(at(-0.7, -1, dual).dualClipped).toBe(false);
    expect(at(-0.5, 1, dual)).toEqual(at(-0.5, 1));
  });
});

describe("toWireLoss", () => {
  it("says nothing that is off", () => {
    expect(toWireLoss(onPolicy)).toEqual({ loss_fn: "importance_sampling" });
    expect(toWireLoss({ ...ppo, clipHigh: 0.3, dualClip: 0, entropyCoefficient: 0 })).toEqual({
      loss_fn: "ppo",
      loss_fn_config: { clip_low_threshold: 0.8, clip_high_threshold: 1.3 },
    });
    const off = { ...onPolicy, kl: { coefficient: 0, estimator: "k3", clamp: 10 } } as const;
    expect(toWireLoss(off)).toEqual({ loss_fn: "importance_sampling" });
    expect(hasLossTerms(off)).toBe(false);
  });

  it("names every setting", () => {
    const loss: PolicyLoss = {
      ...ppo,
      dualClip: 3,
      logRatioClamp: 20,
      kl: { coefficient: 0.001, estimator: "k3", clamp: 10 },
      entropyCoefficient: 0.01,
    };
    expect(hasLossTerms(loss)).toBe(true);
    expect(toWireLoss(loss).loss_fn_config).toEqual({
      clip_low_threshold: 0.8,
      clip_high_threshold: 1.2,
      dual_clip: 3,
      log_ratio_clamp: 20,
      kl_coefficient: 0.001,
      kl_estimator: 3,
      kl_clamp: 10,
      entropy_coefficient: 0.01,
    });
  });
});
