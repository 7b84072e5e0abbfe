import { computeDeviation, computeMean, computeSum, type GroupAdvantages } from "./advantages.ts";
import type { GrpoConfig } from "./grpo-config.ts";
import { computeLearningRate } from "./learning-rate.ts";
import { computeTokenLoss } from "./policy-loss.ts";
import type { Rollout } from "./rollout.ts";
import type { StepRecord } from "./run-log.ts";
import { assertFinite } from "./training-loop.ts";
import type { PolicyUpdate } from "./update.ts";

/**
 * What `metrics.jsonl` says of one step.
 * @throws NonFiniteError if the loss is not finite.
 */
export function toStepRecord<E>(
  step: number,
  config: GrpoConfig,
  { samples, rewards }: Rollout<E>,
  advantages: readonly GroupAdvantages[],
  update: PolicyUpdate,
): StepRecord {
  const scores = rewards.flatMap((reward) => (reward?.reward === undefined ? [] : [reward.reward]));
  const decisions = samples.flatMap((sample) => sample.decisions);
  const lengths = decisions.map((decision) => decision.completionTokens.length);
  const zeroVariance = advantages.filter((group) => group.zeroVariance).length;
  const ended = rewards.filter((reward) => reward !== undefined);
  const names = [...new Set(ended.flatMap((reward) => Object.keys(reward.metrics)))].toSorted();
  return {
    type: "step",
    step,
    learningRate: computeLearningRate(step, config.learningRate),
    reward: {
      mean: computeMean(scores),
      deviation: computeDeviation(scores, false),
      min: Math.min(...scores),
      max: Math.max(...scores),
    },
    groups: {
      count: advantages.length,
      zeroVariance,
      zeroVarianceShare: zeroVariance / advantages.length,
    },
    samples: {
      count: samples.length,
      masked: samples.length - scores.length,
      decisions: decisions.length,
      trainedDecisions: update.trainedDecisions,
    },
    completions: {
      meanTokens: computeMean(lengths),
      maxTokens: Math.max(0, ...lengths),
      cutShare: computeMean(decisions.map((decision) => (decision.cut ? 1 : 0))),
    },
    update: describeUpdate(step, config, update),
    environment: {
      episodes: ended.length,
      sums: Object.fromEntries(
        names.map((name) => [name, computeSum(ended.map((reward) => reward.metrics[name] ?? 0))]),
      ),
    },
  };
}

/** Diagnostics of the optimiser steps, computed here from log-probabilities so that every engine gives the same ones. */
function describeUpdate(
  step: number,
  config: GrpoConfig,
  { optimizerSteps, meanKl }: PolicyUpdate,
): StepRecord["update"] {
  const first = optimizerSteps[0];
  if (first === undefined) return null;
  const tokenLosses = optimizerSteps.flatMap(({ sequences, result }) =>
    sequences.flatMap((sequence, index) =>
      sequence.logProbs.map((sampled, token) =>
        computeTokenLoss(
          result.logProbs[index]?.[token] ?? Number.NaN,
          sampled,
          sequence.advantages[token] ?? Number.NaN,
          config.loss,
        ),
      ),
    ),
  );
  const loss = computeSum(tokenLosses.map((token) => token.loss)) / optimizerSteps.length;
  assertFinite("the loss", step, loss);
  // Later optimiser steps see weights that have moved: only the first shows how far apart sampler and trainer are.
  const differences = first.sequences.flatMap((sequence, index) =>
    sequence.logProbs.map(
      (sampled, token) => sampled - (first.result.logProbs[index]?.[token] ?? Number.NaN),
    ),
  );
  const norms = optimizerSteps.flatMap(({ gradientNorm }) => gradientNorm ?? []);
  const entropies = optimizerSteps.flatMap(({ result }) => result.entropies?.flat() ?? []);
  const computed = optimizerSteps.flatMap(({ result }) => result.tokensComputed ?? []);
  const unpacked = optimizerSteps.flatMap(({ result }) => result.tokensUnpacked ?? []);
  return {
    optimizerSteps: optimizerSteps.length,
    loss,
    clipFraction: computeMean(tokenLosses.map((token) => (token.clipped ? 1 : 0))),
    ...(norms.length === 0 ? {} : { gradientNorm: computeMean(norms) }),
    ...(entropies.length === 0 ? {} : { entropy: computeMean(entropies) }),
    logProbDifference: {
      meanAbsolute: computeMean(differences.map(Math.abs)),
      k1: computeMean(differences),
      k2: computeMean(differences.map((difference) => difference ** 2 / 2)),
    },
    ...(meanKl === undefined ? {} : { kl: meanKl }),
    ...(computed.length === 0 ? {} : { tokensComputed: computeSum(computed) }),
    ...(unpacked.length === 0 ? {} : { tokensUnpacked: computeSum(unpacked) }),
  };
}
