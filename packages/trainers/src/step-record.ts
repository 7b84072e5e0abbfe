import { computeDeviation, computeMean, computeSum, type GroupAdvantages } from "./advantages.ts";
import { computeExplainedVariance } from "./gae.ts";
import type { BackwardResult } from "./policy-engine.ts";
import { computeTokenLosses, hasLossTerms, type PolicyLoss } from "./policy-loss.ts";
import type { Rollout } from "./rollout.ts";
import type { StepRecord } from "./run-log.ts";
import { assertFinite } from "./training-loop.ts";
import type { CriticStep, ImitationStep, OptimizerStep, PolicyStep } from "./update.ts";
import { computeValueLoss } from "./value-loss.ts";

type Update = NonNullable<StepRecord["update"]>;

/** What `metrics.jsonl` says of a step's samples. `trained` counts the decisions that the update runs on. */
export function describeRollout<E>(
  { samples, rewards, firstRewards, resampled }: Rollout<E>,
  groups: readonly GroupAdvantages[],
  trained: number,
): Pick<
  StepRecord,
  "reward" | "groups" | "samples" | "promptTokens" | "completions" | "environment"
> {
  const scored = rewards.filter((reward) => reward?.reward !== undefined).length;
  const decisions = samples.flatMap((sample) => sample.decisions);
  const zeroVariance = groups.filter((group) => group.zeroVariance).length;
  const ended = rewards.filter((reward) => reward !== undefined);
  const names = [...new Set(ended.flatMap((reward) => Object.keys(reward.metrics)))].toSorted();
  return {
    ...(firstRewards.length === 0
      ? {}
      : {
          reward: {
            mean: computeMean(firstRewards),
            deviation: computeDeviation(firstRewards, false),
            min: Math.min(...firstRewards),
            max: Math.max(...firstRewards),
          },
        }),
    ...(groups.some((group) => group.samples.length > 1)
      ? {
          groups: {
            count: groups.length,
            zeroVariance,
            zeroVarianceShare: zeroVariance / groups.length,
            ...(resampled === 0 ? {} : { resampled }),
          },
        }
      : {}),
    samples: {
      count: samples.length,
      masked: samples.length - scored,
      decisions: decisions.length,
      trainedDecisions: trained,
    },
    ...(decisions.length === 0
      ? {}
      : { promptTokens: describeRange(decisions.map(({ promptTokens }) => promptTokens.length)) }),
    completions: describeCompletions(
      decisions.map((decision) => decision.completionTokens.length),
      decisions.filter((decision) => decision.cut).length,
    ),
    environment: {
      episodes: ended.length,
      sums: Object.fromEntries(
        names.map((name) => [name, computeSum(ended.map((reward) => reward.metrics[name] ?? 0))]),
      ),
    },
  };
}

/** `lengths` are token counts, `cut` how many hit the token limit. */
export function describeCompletions(
  lengths: readonly number[],
  cut: number,
): StepRecord["completions"] {
  return {
    meanTokens: computeMean(lengths),
    minTokens: lengths.length === 0 ? 0 : Math.min(...lengths),
    maxTokens: Math.max(0, ...lengths),
    cutShare: lengths.length === 0 ? 0 : cut / lengths.length,
  };
}

/**
 * Diagnostics of the policy's optimiser steps, computed here from log-probabilities so that every engine gives the same
 * ones. Null where there were none.
 * @throws NonFiniteError if the loss is not finite
 */
export function describePolicySteps(
  steps: readonly PolicyStep[],
  loss: PolicyLoss,
  { step, logProbGapLimit }: { readonly step: number; readonly logProbGapLimit: number },
): StepRecord["update"] {
  const first = steps[0];
  if (first === undefined) return null;
  const tokenLosses = steps.flatMap(({ sequences, result }) =>
    sequences.flatMap((sequence, index) =>
      computeTokenLosses(
        {
          logProbs: result.logProbs[index] ?? [],
          sampledLogProbs: sequence.logProbs,
          advantages: sequence.advantages,
          weights: sequence.weights,
          referenceLogProbs: sequence.referenceLogProbs,
          entropies: result.entropies?.[index],
        },
        loss,
      ),
    ),
  );
  const meanLoss = computeSum(tokenLosses.map((token) => token.loss)) / steps.length;
  assertFinite("the loss", step, meanLoss);
  const drifts = steps.flatMap(readLogProbDifferences);
  // Later optimiser steps see weights that have moved: only the first shows how far apart sampler and trainer are.
  const differences = readLogProbDifferences(first);
  const dualClip = loss.kind === "ppo" && (loss.dualClip ?? 0) > 0;
  return {
    optimizerSteps: steps.length,
    loss: meanLoss,
    ...(hasLossTerms(loss)
      ? { policyLoss: computeSum(tokenLosses.map((token) => token.policy)) / steps.length }
      : {}),
    clipFraction: computeMean(tokenLosses.map((token) => (token.clipped ? 1 : 0))),
    ...(dualClip
      ? { dualClipFraction: computeMean(tokenLosses.map((token) => (token.dualClipped ? 1 : 0))) }
      : {}),
    ...(steps.length === 1 ? {} : { policyKl: computeMean(drifts) }),
    ...describeBackward(steps),
    logProbDifference: {
      meanAbsolute: computeMean(differences.map(Math.abs)),
      k1: computeMean(differences),
      k2: computeMean(differences.map((difference) => difference ** 2 / 2)),
      max: computeMaximum(differences.map(Math.abs)),
      aboveLimit: differences.filter((difference) => Math.abs(difference) > logProbGapLimit).length,
    },
  };
}

/**
 * The same of steps that imitated: the loss is the weighted cross-entropy in nats.
 * @throws NonFiniteError if the loss is not finite
 */
export function describeImitationSteps(
  steps: readonly ImitationStep[],
  step: number,
): StepRecord["update"] {
  if (steps.length === 0) return null;
  const losses = steps.flatMap(({ sequences, result }) =>
    sequences.flatMap((sequence, index) =>
      sequence.weights.map((weight, token) => -weight * valueAt(result.logProbs, index, token)),
    ),
  );
  const loss = computeSum(losses) / steps.length;
  assertFinite("the loss", step, loss);
  return { optimizerSteps: steps.length, loss, ...describeBackward(steps) };
}

/**
 * Diagnostics of the critic's optimiser steps. `advantages` are those before whitening, [decisions][tokens].
 * @throws NonFiniteError if the loss is not finite
 */
export function describeCriticSteps(
  steps: readonly CriticStep[],
  targets: {
    readonly values: readonly number[];
    readonly returns: readonly number[];
    readonly advantages: readonly number[];
  },
  settings: { readonly step: number; readonly clip: number; readonly learningRate: number },
): NonNullable<StepRecord["critic"]> {
  const losses = steps.flatMap(({ sequences, result }) =>
    sequences.flatMap((sequence, index) =>
      sequence.weights.map((weight, token) => {
        const { loss, clipped } = computeValueLoss(
          valueAt(result.values, index, token),
          sequence.values[token] ?? Number.NaN,
          sequence.returns[token] ?? Number.NaN,
          settings,
        );
        return { loss: weight * loss, clipped };
      }),
    ),
  );
  const loss = computeSum(losses.map((token) => token.loss)) / steps.length;
  assertFinite("the critic's loss", settings.step, loss);
  const explainedVariance = computeExplainedVariance(targets.returns, targets.values);
  return {
    optimizerSteps: steps.length,
    learningRate: settings.learningRate,
    loss,
    clipFraction: computeMean(losses.map((token) => (token.clipped ? 1 : 0))),
    ...describeNorms(steps),
    ...(explainedVariance === undefined ? {} : { explainedVariance }),
    values: describeRange(targets.values),
    returns: describeRange(targets.returns),
    advantages: describeRange(targets.advantages),
  };
}

/** What to warn of where sampler and trainer disagree about the probability of what was sampled. */
export function describeLogProbGap(
  update: StepRecord["update"],
  step: number,
  limit: number,
): string | undefined {
  const gap = update?.logProbDifference;
  if (gap === undefined || gap.aboveLimit === 0) return undefined;
  return (
    `step ${step}: sampler and trainer disagree by more than ${limit} nats about ${gap.aboveLimit} sampled tokens ` +
    `(mean ${gap.meanAbsolute.toExponential(1)}, largest ${gap.max.toExponential(1)}): ratios and clips are off by as much`
  );
}

function readLogProbDifferences({ sequences, result }: PolicyStep): readonly number[] {
  return sequences.flatMap((sequence, index) =>
    sequence.logProbs.map((sampled, token) => sampled - valueAt(result.logProbs, index, token)),
  );
}

function valueAt(values: readonly (readonly number[])[], sequence: number, token: number): number {
  return values[sequence]?.[token] ?? Number.NaN;
}

function describeBackward(
  steps: readonly OptimizerStep<unknown, BackwardResult>[],
): Pick<Update, "gradientNorm" | "entropy" | "tokensComputed" | "tokensUnpacked"> {
  const entropies = steps.flatMap(({ result }) => result.entropies?.flat() ?? []);
  const computed = steps.flatMap(({ result }) => result.tokensComputed ?? []);
  const unpacked = steps.flatMap(({ result }) => result.tokensUnpacked ?? []);
  return {
    ...describeNorms(steps),
    ...(entropies.length === 0 ? {} : { entropy: computeMean(entropies) }),
    ...(computed.length === 0 ? {} : { tokensComputed: computeSum(computed) }),
    ...(unpacked.length === 0 ? {} : { tokensUnpacked: computeSum(unpacked) }),
  };
}

function describeNorms(steps: readonly OptimizerStep<unknown, unknown>[]): {
  readonly gradientNorm?: number;
} {
  const norms = steps.flatMap(({ gradientNorm }) => gradientNorm ?? []);
  return norms.length === 0 ? {} : { gradientNorm: computeMean(norms) };
}

/** `values` must not be empty. */
export function describeRange(values: readonly number[]): {
  readonly mean: number;
  readonly min: number;
  readonly max: number;
} {
  return {
    mean: computeMean(values),
    min: -computeMaximum(values.map((value) => -value)),
    max: computeMaximum(values),
  };
}

/** Of any number of values: a call's arguments are limited. */
function computeMaximum(values: readonly number[]): number {
  return values.reduce((largest, value) => Math.max(largest, value), Number.NEGATIVE_INFINITY);
}
