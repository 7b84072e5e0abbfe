/*
 * Supervised fine-tuning: the policy's cross-entropy on completions that are held to be good, which are traces of a
 * stronger model (the paper's Memory-SFT, arXiv 2508.19828, section 4.4) or its own better rollouts (rejection sampling as
 * in RAFT, arXiv 2304.06767, and expert iteration).
 *
 * What this decides:
 *  1. Own rollouts are drawn anew in each step from the policy as it is, and used in that step alone.
 *  2. Completions sampled under a grammar are imitated under it: among what it allows.
 *  3. Only completions have a loss, the token that ends them included; prompts have none.
 *  4. A sample that could not be sampled or scored is in no mean and is never imitated. A step that keeps none takes no
 *     optimiser step.
 */
import {
  ConfigError,
  deriveSeed,
  parseValue,
  type Environment,
  type Episode,
} from "@memory-r1/spec";
import { computeAdvantages, computeMean } from "./advantages.ts";
import { hashConfiguration } from "./configuration-hash.ts";
import type { Decision } from "./datums.ts";
import { computeLearningRate } from "./learning-rate.ts";
import { rollOut } from "./rollout.ts";
import type { StepRecord } from "./run-log.ts";
import { sftConfigSchema, type KeepRule, type SftConfigInput } from "./sft-config.ts";
import { describeCompletions, describeImitationSteps, describeRollout } from "./step-record.ts";
import {
  runTrainingLoop,
  type Timer,
  type TrainingOptions,
  type TrainingResult,
} from "./training-loop.ts";
import { drawTraces, hashTraces, type Trace } from "./traces.ts";
import { imitateCompletions } from "./update.ts";

export interface SftOptions<Task, E extends Episode> extends TrainingOptions {
  readonly config: SftConfigInput;
  /** For `data.kind` "traces". */
  readonly traces?: readonly Trace[];
  /** For `data.kind` "rollouts". */
  readonly environment?: Environment<Task, E>;
}

/** What a step imitates, and what its record says of where that came from. */
interface Examples {
  readonly decisions: readonly {
    readonly group: number;
    readonly decision: Omit<Decision, "logProbs">;
  }[];
  readonly described: Omit<StepRecord, "type" | "step" | "learningRate" | "update">;
}

/**
 * Trains a policy by imitation and returns the best of its validated weights. Resumes and throws as `trainGrpo`.
 * @throws ConfigError if what `data` names is not given, too
 */
export async function trainSft<Task, E extends Episode>(
  options: SftOptions<Task, E>,
): Promise<TrainingResult> {
  const { engine, stage, runSeed, signal } = options;
  const config = parseValue(options.config, sftConfigSchema, "the SFT configuration");
  const source = openSource(options, config.data);
  return runTrainingLoop(options, {
    config,
    configHash: hashConfiguration("sft", config, { ...options, data: source.identity }),
    async takeStep(step, timer) {
      const { decisions, described } = await source.draw(step, timer);
      signal?.throwIfAborted();
      const learningRate = computeLearningRate(step, config.learningRate);
      const steps = await imitateCompletions(
        engine,
        {
          ...config,
          learningRate,
          seedOf: (epoch) => deriveSeed(runSeed, stage, step, "minibatches", epoch),
        },
        step,
        decisions,
        timer,
      );
      return {
        type: "step",
        step,
        learningRate,
        ...described,
        update: describeImitationSteps(steps, step),
      };
    },
  });
}

interface ExampleSource {
  /** What a resumed run must share. */
  readonly identity: string;
  readonly draw: (step: number, timer: Timer) => Promise<Examples>;
}

function openSource<Task, E extends Episode>(
  { engine, stage, runSeed, signal, traces, environment }: SftOptions<Task, E>,
  data: ReturnType<typeof sftConfigSchema.parse>["data"],
): ExampleSource {
  switch (data.kind) {
    case "traces": {
      if (traces === undefined || traces.length === 0)
        throw new ConfigError(
          "SFT on traces has no traces: read them with readTraces, or set data to rollouts",
        );
      const seed = deriveSeed(runSeed, stage, "traces");
      return {
        identity: hashTraces(traces),
        async draw(step) {
          const decisions = drawTraces(traces, step, data.batchSize, seed).map((trace, group) => ({
            group,
            decision: {
              ...engine.encodeCompletion(trace.messages, trace.completion),
              ...(trace.constraint === undefined ? {} : { constraint: trace.constraint }),
            },
          }));
          const lengths = decisions.map(({ decision }) => decision.completionTokens.length);
          return { decisions, described: { completions: describeCompletions(lengths, 0) } };
        },
      };
    }
    case "rollouts": {
      if (environment === undefined)
        throw new ConfigError(
          "SFT on rollouts has no environment to play: give one, or set data to traces",
        );
      return {
        identity: environment.name,
        async draw(step, timer) {
          const rollout = await rollOut(
            { environment, engine, stage, runSeed, config: data, signal },
            step,
            timer,
          );
          const kept = rollout.groupRewards.map((rewards) => chooseKept(rewards, data.keep));
          const decisions = rollout.samples.flatMap(({ group, index, decisions: own }) =>
            kept[group]?.includes(index) === true
              ? own
                  .filter((decision) => decision.completionTokens.length > 0)
                  .map((decision) => ({ group, decision }))
              : [],
          );
          return {
            decisions,
            described: describeRollout(
              rollout,
              // Only its counts of groups whose rewards are equal are of use here.
              computeAdvantages(rollout.groupRewards, { scale: "none", epsilon: 0, bessel: true }),
              decisions.length,
            ),
          };
        },
      };
    }
  }
}

/** Which samples of a group are imitated, by their index, lowest first. Unscored ones never are. */
export function chooseKept(
  rewards: readonly (number | undefined)[],
  rule: KeepRule,
): readonly number[] {
  const scored = rewards.flatMap((reward, index) =>
    reward === undefined ? [] : [{ reward, index }],
  );
  const indexes = (kept: readonly { readonly index: number }[]): readonly number[] =>
    kept.map(({ index }) => index);
  switch (rule.kind) {
    case "threshold":
      return indexes(scored.filter(({ reward }) => reward >= rule.reward));
    case "better-than-mean": {
      // Compared as they are: a mean of equal rewards can differ from them by a rounding error.
      if (scored.every(({ reward }) => reward === scored[0]?.reward)) return [];
      const mean = computeMean(scored.map(({ reward }) => reward));
      return indexes(scored.filter(({ reward }) => reward > mean));
    }
    case "best":
      return indexes(
        scored
          .toSorted((one, other) => other.reward - one.reward || one.index - other.index)
          .slice(0, rule.count)
          .filter(({ reward }) => rule.atLeast === undefined || reward >= rule.atLeast),
      ).toSorted((one, other) => one - other);
  }
}
