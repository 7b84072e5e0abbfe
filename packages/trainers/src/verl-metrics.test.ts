import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { stepRecordSchema, type StepRecord } from "./run-log.ts";
import { toVerlMetrics, verlMetrics } from "./verl-metrics.ts";

const document = new URL("../../../docs/training-metrics.md", import.meta.url);
const range = (mean: number) => ({ mean, min: mean - 1, max: mean + 1 });
const record: StepRecord = {
  type: "step",
  step: 4,
  learningRate: 1e-6,
  reward: { mean: 0.5, deviation: 0.4, min: 0, max: 1 },
  groups: { count: 4, zeroVariance: 1, zeroVarianceShare: 0.25 },
  samples: { count: 8, masked: 0, decisions: 8, trainedDecisions: 6 },
  promptTokens: range(100),
  completions: { meanTokens: 12, minTokens: 2, maxTokens: 30, cutShare: 0.125 },
  advantages: range(0.1),
  update: {
    optimizerSteps: 1,
    loss: -0.2,
    policyLoss: -0.3,
    clipFraction: 0.01,
    dualClipFraction: 0.02,
    policyKl: 0.003,
    gradientNorm: 0.7,
    entropy: 1.5,
    logProbDifference: { meanAbsolute: 1e-5, k1: 1e-6, k2: 1e-9, max: 1e-4, aboveLimit: 0 },
    kl: 0.04,
    klCoefficient: 0.05,
    tokensComputed: 500,
    tokensUnpacked: 900,
  },
  critic: {
    optimizerSteps: 1,
    learningRate: 1e-5,
    loss: 0.6,
    clipFraction: 0.03,
    gradientNorm: 2,
    explainedVariance: 0.35,
    values: range(0.45),
    returns: range(0.55),
    advantages: range(0.1),
  },
};
const seconds = { sample: 3, reward: 1, train: 4, critic: 2, validate: 5, checkpoint: 6 };

describe("toVerlMetrics", () => {
  it("gives every recorded name of PPO its number", () => {
    const metrics = toVerlMetrics(stepRecordSchema.parse(record), seconds);
    const absent = new Set([
      "critic/rewards/mean",
      "critic/rewards/max",
      "critic/rewards/min",
      "actor/kl_loss",
    ]);
    const recorded = verlMetrics.filter(({ field }) => field !== undefined).map(({ name }) => name);
    expect(new Set(Object.keys(metrics))).toEqual(
      new Set([...recorded.filter((name) => !absent.has(name)), "timing_s/step"]),
    );
    expect(metrics).toMatchObject({
      "critic/score/max": 1,
      "critic/vf_explained_var": 0.35,
      "critic/vf_loss": 0.6,
      "critic/lr": 1e-5,
      "actor/lr": 1e-6,
      "actor/pg_loss": -0.3,
      "actor/ppo_kl": 0.003,
      "actor/reward_kl_penalty": 0.04,
      "actor/reward_kl_penalty_coeff": 0.05,
      "training/global_step": 5,
      "reward/std": 0.4,
      frac_zero_std: 0.25,
      "response_length/min": 2,
      "prompt_length/max": 101,
      "timing_s/gen": 3,
      "timing_s/step": 21,
    });
  });

  it("leaves out what is not of GRPO, or did not happen", () => {
    const { critic: _critic, ...rest } = record;
    const {
      klCoefficient: _one,
      policyLoss: _two,
      policyKl: _three,
      ...update
    } = record.update ?? {
      optimizerSteps: 0,
      loss: 0,
    };
    const metrics = toVerlMetrics({ ...rest, update });
    expect(metrics).toMatchObject({
      "critic/rewards/mean": 0.5,
      "actor/kl_loss": 0.04,
      "actor/pg_loss": -0.2,
      "actor/ppo_kl": 1e-6,
    });
    expect(metrics).not.toHaveProperty("critic/vf_loss");
    expect(metrics).not.toHaveProperty("actor/reward_kl_penalty");
    expect(metrics).not.toHaveProperty("timing_s/step");
    const idle = toVerlMetrics({ ...rest, update: null });
    expect(Object.keys(idle).filter((name) => name.startsWith("actor/"))).toEqual(["actor/lr"]);
  });
});

describe("verlMetrics", () => {
  it("have each name once", () => {
    const names = verlMetrics.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  it.skipIf(!existsSync(document))("are the table of docs/training-metrics.md", () => {
    const rows = readFileSync(document, "utf8")
      .split("\n")
      .map((line) =>
        line
          .split("|")
          .slice(1, -1)
          .map((cell) => cell.trim())
          .join(" | "),
      );
    const found = new Set(rows);
    const missing = verlMetrics
      .map(
        ({ name, field, note }) =>
          `\`${name}\` | ${field === undefined ? "–" : `\`${field}\``} | ${note ?? ""}`,
      )
      .filter((row) => !found.has(row));
    expect(missing).toEqual([]);
  });
});
