/*
 * Proximal Policy Optimization (arXiv 1707.06347; Memory-R1, arXiv 2508.19828, section 3) with a learned critic, for
 * episodes of one decision or several.
 *
 * Where this departs from the paper, or decides what the paper leaves open:
 *  1. The critic is a LoRA adapter with a value head on the same frozen base model, not a second whole model.
 *  2. The tokens of an episode's completions, one after the other, are one chain: its reward is on the last of them, and
 *     prompts between completions are no time steps (verl's `compute_gae_advantage_return` skips them in the same way).
 *  3. What a token was worth and how probable it was are those at sampling: nothing is computed again by the trainer.
 *  4. Critic first, all epochs, then the policy, over the same minibatches (verl's order). Groups stay together.
 *  5. Advantages are whitened over all tokens of the step, returns are not.
 *  6. A sample that could not be sampled or scored is left out of everything, whitening included.
 *  7. An adaptive KL coefficient moves after the step that it was used in (arXiv 1909.08593, verl).
 */
import { deriveSeed, parseValue, type Environment, type Episode } from "@memory-r1/spec";
import { computeAdvantages, computeMean } from "./advantages.ts";
import { hashConfiguration } from "./configuration-hash.ts";
import { computeGae, whiten } from "./gae.ts";
import { adaptKlCoefficient, computeKls } from "./kl.ts";
import { computeLearningRate } from "./learning-rate.ts";
import type { CriticEngine, PolicyEngine } from "./policy-engine.ts";
import { ppoConfigSchema, type PpoConfig, type PpoConfigInput } from "./ppo-config.ts";
import { rollOut, type Sample, type SampledDecision } from "./rollout.ts";
import {
  describeCriticSteps,
  describeLogProbGap,
  describePolicySteps,
  describeRollout,
  describeRange,
} from "./step-record.ts";
import {
  runTrainingLoop,
  type Timer,
  type TrainingOptions,
  type TrainingResult,
} from "./training-loop.ts";
import { assertReusable, updateCritic, updatePolicy, type UpdateSettings } from "./update.ts";

export interface PpoOptions<Task, E extends Episode> extends TrainingOptions {
  readonly config: PpoConfigInput;
  readonly environment: Environment<Task, E>;
  /** Fresh, as `engine`. */
  readonly critic: CriticEngine;
}

/**
 * Trains a policy and its critic, and returns the best of the policy's validated weights. Resumes and throws as
 * `trainGrpo`.
 */
export async function trainPpo<Task, E extends Episode>(
  options: PpoOptions<Task, E>,
): Promise<TrainingResult> {
  const { engine, critic, environment, stage, runSeed, signal } = options;
  const config = parseValue(options.config, ppoConfigSchema, "the PPO configuration");
  assertReusable(config);
  const { loss, logProbGapLimit, valueClip } = config;
  let klCoefficient = config.kl.coefficient;
  return runTrainingLoop(options, {
    config,
    configHash: hashConfiguration("ppo", config, { ...options, data: environment.name }),
    observe: (validation) => environment.observe?.(validation),
    besides: {
      save: async (name) => ({ criticPath: await critic.saveState(name), klCoefficient }),
      async load(saved) {
        await critic.loadState(saved.criticPath);
        klCoefficient = saved.klCoefficient;
      },
    },
    async takeStep(step, timer) {
      const rollout = await rollOut(
        { environment, engine, stage, runSeed, config, signal },
        step,
        timer,
      );
      signal?.throwIfAborted();
      const episodes = toEpisodes(rollout.samples, rollout.groupRewards);
      const learningRate = computeLearningRate(step, config.learningRate);
      const record = {
        type: "step",
        step,
        learningRate,
        ...describeRollout(
          rollout,
          // Only its counts of groups whose rewards are equal are of use here.
          computeAdvantages(rollout.groupRewards, { scale: "none", epsilon: 0, bessel: true }),
          episodes.reduce((sum, { decisions }) => sum + decisions.length, 0),
        ),
        update: null,
      } as const;
      if (episodes.length === 0) return record;

      const valued = await valueEpisodes(
        { engine, critic, config, klCoefficient, timer },
        episodes,
      );
      const settings: Omit<UpdateSettings, "learningRate"> = {
        ...config,
        seedOf: (epoch) => deriveSeed(runSeed, stage, step, "minibatches", epoch),
      };
      const criticRate = computeLearningRate(step, config.criticLearningRate);
      const criticSteps = await updateCritic(
        critic,
        valueClip,
        { ...settings, learningRate: criticRate },
        step,
        valued.decisions,
        timer,
      );
      const steps =
        step < config.criticWarmUpSteps
          ? []
          : await updatePolicy(
              engine,
              loss,
              { ...settings, learningRate },
              step,
              valued.decisions,
              timer,
            );
      const update = describePolicySteps(steps, loss, { step, logProbGapLimit });
      const warning = describeLogProbGap(update, step, logProbGapLimit);
      if (warning !== undefined) options.onWarning?.(warning);
      const described = {
        ...record,
        advantages: describeRange(valued.decisions.flatMap(({ advantages }) => advantages)),
        update:
          update === null || valued.kl === undefined
            ? update
            : { ...update, kl: valued.kl.perToken, klCoefficient },
        critic: describeCriticSteps(
          criticSteps,
          {
            values: valued.decisions.flatMap(({ values }) => values),
            returns: valued.decisions.flatMap(({ returns }) => returns),
            advantages: valued.unwhitened,
          },
          { step, clip: valueClip, learningRate: criticRate },
        ),
      };
      if (valued.kl !== undefined && config.kl.adaptive !== undefined)
        klCoefficient = adaptKlCoefficient(
          klCoefficient,
          valued.kl.perSequence,
          valued.decisions.length,
          config.kl.adaptive,
        );
      return described;
    },
  });
}

/** A scored sample that chose at least one token. */
interface ScoredEpisode {
  readonly group: number;
  readonly reward: number;
  readonly decisions: readonly SampledDecision[];
}

function toEpisodes(
  samples: readonly Sample<unknown>[],
  rewards: readonly (readonly (number | undefined)[])[],
): readonly ScoredEpisode[] {
  return samples.flatMap(({ group, index, decisions: all }) => {
    const reward = rewards[group]?.[index];
    const decisions = all.filter((decision) => decision.completionTokens.length > 0);
    return reward === undefined || decisions.length === 0 ? [] : [{ group, reward, decisions }];
  });
}

interface ValuedDecisionOfEpisode {
  readonly group: number;
  readonly decision: SampledDecision;
  readonly values: readonly number[];
  readonly returns: readonly number[];
  /** Whitened where that is on. */
  readonly advantages: readonly number[];
  /** For a loss with a KL term. */
  readonly referenceLogProbs?: readonly number[];
}

interface ValuedEpisodes {
  readonly decisions: readonly ValuedDecisionOfEpisode[];
  readonly unwhitened: readonly number[];
  readonly kl: { readonly perToken: number; readonly perSequence: number } | undefined;
}

/** Asks the critic, and the reference policy where drifting costs, what every token of the episodes was worth. */
async function valueEpisodes(
  {
    engine,
    critic,
    config,
    klCoefficient,
    timer,
  }: {
    readonly engine: PolicyEngine;
    readonly critic: CriticEngine;
    readonly config: PpoConfig;
    readonly klCoefficient: number;
    readonly timer: Timer;
  },
  episodes: readonly ScoredEpisode[],
): Promise<ValuedEpisodes> {
  const decisions = episodes.flatMap((episode) => episode.decisions);
  const values = await timer.measure("critic", () => critic.values(decisions));
  const lossKl = (config.loss.kl?.coefficient ?? 0) !== 0;
  const reference =
    config.kl.coefficient === 0 && !lossKl
      ? undefined
      : await timer.measure("train", () => engine.referenceLogProbs(decisions));
  const kls =
    reference === undefined
      ? undefined
      : computeKls(
          decisions.map(({ logProbs }) => logProbs),
          reference,
          config.kl,
        );

  // One chain per episode: its completions one after the other.
  const chains: { rewards: number[]; values: number[] }[] = [];
  let next = 0;
  for (const episode of episodes) {
    const own = episode.decisions.map((_, offset) => next + offset);
    const chain = {
      values: own.flatMap((position) => values[position] ?? []),
      rewards: own.flatMap((position) =>
        kls === undefined
          ? (decisions[position]?.completionTokens ?? []).map(() => 0)
          : (kls[position] ?? []).map((kl) => -klCoefficient * kl),
      ),
    };
    chain.rewards[chain.rewards.length - 1] = (chain.rewards.at(-1) ?? Number.NaN) + episode.reward;
    chains.push(chain);
    next += episode.decisions.length;
  }
  const { advantages, returns } = computeGae(
    chains.map((chain) => chain.rewards),
    chains.map((chain) => chain.values),
    config.gae,
  );
  let done = 0;
  const whitened = config.whitening.enabled ? whiten(advantages, config.whitening) : advantages;
  return {
    unwhitened: advantages.flat(),
    kl:
      kls === undefined
        ? undefined
        : { perToken: computeMean(kls.flat()), perSequence: computeMean(kls.map(computeMean)) },
    decisions: episodes.flatMap((episode, index) => {
      let start = 0;
      return episode.decisions.map((decision): ValuedDecisionOfEpisode => {
        const from = start;
        const position = done++;
        start += decision.completionTokens.length;
        const part = (chainValues: readonly (readonly number[])[]): readonly number[] =>
          chainValues[index]?.slice(from, start) ?? [];
        return {
          group: episode.group,
          decision,
          values: part(chains.map((chain) => chain.values)),
          returns: part(returns),
          advantages: part(whitened),
          ...(lossKl ? { referenceLogProbs: reference?.[position] ?? [] } : {}),
        };
      });
    }),
  };
}
