import { ConfigError, createRandom, shuffled, type AdamParams } from "@memory-r1/spec";
import type { CriticSequence, Decision, ImitatedSequence, TrainingSequence } from "./datums.ts";
import type { GrpoConfig } from "./grpo-config.ts";
import type { BackwardResult, CriticEngine, CriticResult, PolicyEngine } from "./policy-engine.ts";
import {
  computeLossScales,
  hasLossTerms,
  type LossAggregation,
  type PolicyLoss,
} from "./policy-loss.ts";
import { assertFinite, type Timer } from "./training-loop.ts";

/** How the decisions of a step become optimiser steps: parts of every algorithm's configuration. */
export interface UpdateSettings {
  readonly aggregation: LossAggregation;
  /** Passes over the decisions, and optimiser steps per pass. */
  readonly epochs: number;
  readonly minibatches: number;
  readonly adam: GrpoConfig["adam"];
  readonly learningRate: number;
  /** Seed of the order of groups in an epoch. */
  readonly seedOf: (epoch: number) => number;
}

/** A decision to learn from and the group that it stays with in a minibatch. */
export interface GroupedDecision {
  readonly group: number;
  readonly decision: Decision;
}

/** A decision with its advantage per token, before scaling for the aggregate. */
export interface WeightedDecision extends GroupedDecision {
  readonly advantages: readonly number[];
  /** Under the reference policy, for a loss with a KL term. */
  readonly referenceLogProbs?: readonly number[];
}

/** A decision with what the critic is to learn from it. */
export interface ValuedDecision extends GroupedDecision {
  readonly values: readonly number[];
  readonly returns: readonly number[];
}

/** One optimiser step: the sequences sent, and what came back. */
export interface OptimizerStep<Sequence, Result> {
  readonly sequences: readonly Sequence[];
  readonly result: Result;
  readonly gradientNorm: number | undefined;
}

export type PolicyStep = OptimizerStep<TrainingSequence, BackwardResult>;
export type CriticStep = OptimizerStep<CriticSequence, CriticResult>;
export type ImitationStep = OptimizerStep<ImitatedSequence, BackwardResult>;

/**
 * Turns advantages into optimiser steps of the policy.
 * @throws NonFiniteError if a log-probability or the gradient's norm is not finite.
 */
export function updatePolicy(
  engine: PolicyEngine,
  loss: PolicyLoss,
  settings: UpdateSettings,
  step: number,
  decisions: readonly WeightedDecision[],
  timer: Timer,
): Promise<readonly PolicyStep[]> {
  return takeOptimizerSteps({
    engine,
    settings,
    step,
    decisions,
    timer,
    phase: "train",
    toSequences: (minibatch, scales) => toTrainingSequences(minibatch, scales, loss),
    async forwardBackward(sequences) {
      const result = await engine.forwardBackward(sequences, loss);
      assertAllFinite("a log-probability", step, result.logProbs);
      return result;
    },
  });
}

/**
 * Moves the critic towards the returns.
 * @throws NonFiniteError if a value or the gradient's norm is not finite.
 */
export function updateCritic(
  critic: CriticEngine,
  valueClip: number,
  settings: UpdateSettings,
  step: number,
  decisions: readonly ValuedDecision[],
  timer: Timer,
): Promise<readonly CriticStep[]> {
  return takeOptimizerSteps({
    engine: critic,
    settings,
    step,
    decisions,
    timer,
    phase: "critic",
    toSequences: (minibatch, scales) =>
      minibatch.map(({ decision, values, returns }, index) => ({
        promptTokens: decision.promptTokens,
        completionTokens: decision.completionTokens,
        values,
        returns,
        weights: values.map(() => scales[index] ?? 0),
      })),
    async forwardBackward(sequences) {
      const result = await critic.forwardBackward(sequences, valueClip);
      assertAllFinite("a value", step, result.values);
      return result;
    },
  });
}

/**
 * Moves the policy towards completions.
 * @throws NonFiniteError if a log-probability or the gradient's norm is not finite.
 */
export function imitateCompletions(
  engine: PolicyEngine,
  settings: UpdateSettings,
  step: number,
  decisions: readonly { readonly group: number; readonly decision: Omit<Decision, "logProbs"> }[],
  timer: Timer,
): Promise<readonly ImitationStep[]> {
  return takeOptimizerSteps({
    engine,
    settings,
    step,
    decisions,
    timer,
    phase: "train",
    toSequences: (minibatch, scales) =>
      minibatch.map(({ decision }, index) => ({
        promptTokens: decision.promptTokens,
        completionTokens: decision.completionTokens,
        weights: decision.completionTokens.map(() => scales[index] ?? 0),
        ...(decision.constraint === undefined ? {} : { constraint: decision.constraint }),
      })),
    async forwardBackward(sequences) {
      const result = await engine.imitate(sequences);
      assertAllFinite("a log-probability", step, result.logProbs);
      return result;
    },
  });
}

interface MinibatchWork<Item, Sequence, Result> {
  readonly engine: Pick<PolicyEngine, "optimStep">;
  readonly settings: UpdateSettings;
  readonly step: number;
  readonly decisions: readonly Item[];
  readonly timer: Timer;
  readonly phase: "train" | "critic";
  /** `scales` make the engine's plain sum of token losses the configured mean over the minibatch. */
  readonly toSequences: (
    minibatch: readonly Item[],
    scales: readonly number[],
  ) => readonly Sequence[];
  readonly forwardBackward: (sequences: readonly Sequence[]) => Promise<Result>;
}

async function takeOptimizerSteps<
  Item extends {
    readonly group: number;
    readonly decision: Pick<Decision, "completionTokens">;
  },
  Sequence,
  Result,
>(
  work: MinibatchWork<Item, Sequence, Result>,
): Promise<readonly OptimizerStep<Sequence, Result>[]> {
  const { engine, settings, step, timer, phase } = work;
  const taken: OptimizerStep<Sequence, Result>[] = [];
  for (let epoch = 0; epoch < settings.epochs; epoch++)
    for (const minibatch of splitByGroup(
      work.decisions,
      settings.minibatches,
      settings.seedOf(epoch),
    )) {
      const scales = computeLossScales(
        minibatch.map(({ decision }) => decision.completionTokens.length),
        settings.aggregation,
      );
      const sequences = work.toSequences(minibatch, scales);
      if (sequences.length === 0) continue;
      const result = await timer.measure(phase, () => work.forwardBackward(sequences));
      const { gradientNorm } = await timer.measure(phase, () =>
        engine.optimStep(toAdamParams(settings)),
      );
      if (gradientNorm !== undefined) assertFinite("the gradient's norm", step, gradientNorm);
      taken.push({ sequences, result, gradientNorm });
    }
  return taken;
}

function assertAllFinite(name: string, step: number, values: readonly (readonly number[])[]): void {
  for (const value of values.flat()) assertFinite(name, step, value);
}

function toAdamParams({ adam, learningRate }: UpdateSettings): AdamParams {
  return {
    learning_rate: learningRate,
    beta1: adam.beta1,
    beta2: adam.beta2,
    eps: adam.epsilon,
    weight_decay: adam.weightDecay,
    grad_clip_norm: adam.clipNorm,
  };
}

/** Whole groups go into a minibatch, in an order drawn from `seed`; one minibatch keeps the order of the tasks. */
function splitByGroup<Item extends { readonly group: number }>(
  decisions: readonly Item[],
  count: number,
  seed: number,
): readonly (readonly Item[])[] {
  if (count === 1) return [decisions];
  const groups = shuffled([...new Set(decisions.map(({ group }) => group))], createRandom(seed));
  const minibatchOf = new Map(
    groups.map((group, position) => [group, Math.floor((position * count) / groups.length)]),
  );
  return Array.from({ length: count }, (_, minibatch) =>
    decisions.filter(({ group }) => minibatchOf.get(group) === minibatch),
  );
}

/** Scales go into the advantages where the policy term is all there is, and else into the weights. */
function toTrainingSequences(
  minibatch: readonly WeightedDecision[],
  scales: readonly number[],
  loss: PolicyLoss,
): readonly TrainingSequence[] {
  const terms = hasLossTerms(loss);
  return minibatch.flatMap((weighted, index): TrainingSequence[] => {
    const scale = scales[index] ?? 0;
    if (terms)
      return [
        {
          ...weighted.decision,
          advantages: weighted.advantages,
          weights: weighted.advantages.map(() => scale),
          referenceLogProbs: weighted.referenceLogProbs,
        },
      ];
    if (!hasAdvantage(weighted)) return [];
    return [
      {
        ...weighted.decision,
        advantages: weighted.advantages.map((advantage) => advantage * scale),
      },
    ];
  });
}

export function hasAdvantage({ advantages }: WeightedDecision): boolean {
  return advantages.some((advantage) => advantage !== 0);
}

/** @throws ConfigError if samples are used more than once under a loss that does not bound the ratios */
export function assertReusable({
  loss,
  epochs,
  minibatches,
}: {
  readonly loss: PolicyLoss;
  readonly epochs: number;
  readonly minibatches: number;
}): void {
  if (loss.kind === "importance_sampling" && epochs * minibatches > 1)
    throw new ConfigError(
      `${epochs} epochs of ${minibatches} minibatches use samples more than once: ` +
        'set loss to {"kind":"ppo"}, which bounds the ratios, or both to 1',
    );
}
