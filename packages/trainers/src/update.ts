import { createRandom, deriveSeed, shuffled } from "@memory-r1/spec";
import type { GroupAdvantages } from "./advantages.ts";
import type { Decision, TrainingSequence } from "./datums.ts";
import type { GrpoConfig } from "./grpo-config.ts";
import { computeKlAdvantages } from "./kl.ts";
import { computeLearningRate } from "./learning-rate.ts";
import type { BackwardResult, PolicyEngine } from "./policy-engine.ts";
import { computeLossScales } from "./policy-loss.ts";
import type { Sample } from "./rollout.ts";
import { assertFinite, type Timer } from "./training-loop.ts";

export interface UpdateOptions {
  readonly engine: PolicyEngine;
  readonly config: GrpoConfig;
  readonly stage: string;
  readonly runSeed: number;
}

/** A decision of a scored episode with its advantage per token, before scaling for the aggregate. */
interface WeightedDecision {
  readonly group: number;
  readonly decision: Decision;
  readonly advantages: readonly number[];
}

/** One optimiser step: the sequences sent, and what came back. */
export interface OptimizerStep {
  readonly sequences: readonly TrainingSequence[];
  readonly result: BackwardResult;
  readonly gradientNorm: number | undefined;
}

export interface PolicyUpdate {
  readonly optimizerSteps: readonly OptimizerStep[];
  /** Decisions with an advantage. */
  readonly trainedDecisions: number;
  readonly meanKl: number | undefined;
}

/**
 * Turns the advantages [groups][samples of the group] of samples into optimiser steps.
 * @throws NonFiniteError if a log-probability or the gradient's norm is not finite.
 */
export async function updatePolicy(
  { engine, config, stage, runSeed }: UpdateOptions,
  step: number,
  samples: readonly Sample<unknown>[],
  advantages: readonly GroupAdvantages[],
  timer: Timer,
): Promise<PolicyUpdate> {
  const outcome = samples.flatMap((sample): WeightedDecision[] => {
    const own = advantages[sample.group]?.samples[sample.index];
    if (own?.scored !== true) return [];
    return sample.decisions
      .filter((decision) => decision.completionTokens.length > 0)
      .map((decision) => ({
        group: sample.group,
        decision,
        advantages: decision.completionTokens.map(() => own.advantage),
      }));
  });
  const { decisions, meanKl } = await timer.measure("train", () =>
    penalizeDrift(engine, outcome, config.klCoefficient),
  );

  const learningRate = computeLearningRate(step, config.learningRate);
  const optimizerSteps: OptimizerStep[] = [];
  for (let epoch = 0; epoch < config.epochs; epoch++) {
    const seed = deriveSeed(runSeed, stage, step, "minibatches", epoch);
    for (const minibatch of splitByGroup(decisions, config.minibatches, seed)) {
      const sequences = scaleForAggregate(minibatch, config);
      if (sequences.length === 0) continue;
      const result = await timer.measure("train", () =>
        engine.forwardBackward(sequences, config.loss),
      );
      for (const logProb of result.logProbs.flat())
        assertFinite("a log-probability", step, logProb);
      const { gradientNorm } = await timer.measure("train", () =>
        engine.optimStep({
          learning_rate: learningRate,
          beta1: config.adam.beta1,
          beta2: config.adam.beta2,
          eps: config.adam.epsilon,
          weight_decay: config.adam.weightDecay,
          grad_clip_norm: config.adam.clipNorm,
        }),
      );
      if (gradientNorm !== undefined) assertFinite("the gradient's norm", step, gradientNorm);
      optimizerSteps.push({ sequences, result, gradientNorm });
    }
  }
  return {
    optimizerSteps,
    trainedDecisions: decisions.filter(hasAdvantage).length,
    meanKl,
  };
}

/** Adds the penalty for drifting from the reference policy to the advantages. */
async function penalizeDrift(
  engine: PolicyEngine,
  decisions: readonly WeightedDecision[],
  coefficient: number,
): Promise<{ decisions: readonly WeightedDecision[]; meanKl: number | undefined }> {
  if (coefficient === 0 || decisions.length === 0) return { decisions, meanKl: undefined };
  const reference = await engine.referenceLogProbs(decisions.map(({ decision }) => decision));
  const penalty = computeKlAdvantages(
    decisions.map(({ decision }) => decision.logProbs),
    reference,
    coefficient,
  );
  return {
    meanKl: penalty.meanKl,
    decisions: decisions.map((weighted, index) => ({
      ...weighted,
      advantages: weighted.advantages.map(
        (advantage, token) => advantage + (penalty.advantages[index]?.[token] ?? 0),
      ),
    })),
  };
}

/** Whole groups go into a minibatch, in an order drawn from `seed`; one minibatch keeps the order of the tasks. */
function splitByGroup(
  decisions: readonly WeightedDecision[],
  count: number,
  seed: number,
): readonly (readonly WeightedDecision[])[] {
  if (count === 1) return [decisions];
  const groups = shuffled([...new Set(decisions.map(({ group }) => group))], createRandom(seed));
  const minibatchOf = new Map(
    groups.map((group, position) => [group, Math.floor((position * count) / groups.length)]),
  );
  return Array.from({ length: count }, (_, minibatch) =>
    decisions.filter(({ group }) => minibatchOf.get(group) === minibatch),
  );
}

/** The engine sums token losses: the factors here make the sum the configured mean over all sequences of the minibatch. */
function scaleForAggregate(
  minibatch: readonly WeightedDecision[],
  config: GrpoConfig,
): readonly TrainingSequence[] {
  const scales = computeLossScales(
    minibatch.map(({ advantages }) => advantages.length),
    config.aggregation,
  );
  return minibatch.flatMap((weighted, index): TrainingSequence[] => {
    if (!hasAdvantage(weighted)) return [];
    const scale = scales[index] ?? 0;
    return [
      {
        ...weighted.decision,
        advantages: weighted.advantages.map((advantage) => advantage * scale),
      },
    ];
  });
}

function hasAdvantage({ advantages }: WeightedDecision): boolean {
  return advantages.some((advantage) => advantage !== 0);
}
