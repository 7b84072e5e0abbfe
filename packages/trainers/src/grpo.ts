/*
 * Group Relative Policy Optimization (DeepSeekMath, arXiv 2402.03300; Memory-R1, arXiv 2508.19828, section 3),
 * for episodes of one decision (the Answer Agent) or several (a Memory Manager's facts in turn).
 *
 * Where this departs from the paper, or decides what the paper leaves open:
 *  1. On-policy by default: one optimiser step per batch of samples, so every ratio is 1 and no clip ever binds.
 *     `loss: ppo` with `epochs` or `minibatches` above 1 is the paper's clipped objective.
 *  2. No KL to the reference policy by default. With `klCoefficient` it is a k1 penalty in the advantage, not a k3 term
 *     in the loss.
 *  3. The deviation that divides an advantage is the sample's (n - 1) plus 1e-6, as in verl, which the paper used; the
 *     paper's formula has a plain deviation.
 *  4. Token losses are averaged over all tokens of the batch (verl's default, DAPO); the GRPO paper averages within each
 *     sequence first. `aggregation` has both, and Dr. GRPO's.
 *  5. Completions may be sampled under a grammar. Every log-probability is then that after the grammar's mask.
 *  6. All decisions of an episode share its advantage. For averages, one decision is one sequence.
 *  7. A sample that could not be sampled or scored is left out of everything; with more than half of them the run stops.
 *  8. Decisions whose advantage is 0 count in the averages but are not sent: their gradient is 0. A step without any
 *     other decision takes no optimiser step.
 *  9. Whole validation episodes decide which weights are kept; the paper names no rule.
 */
import { createHash } from "node:crypto";
import {
  ConfigError,
  ModelCallError,
  NonFiniteError,
  ResumeMismatchError,
  createRandom,
  deriveSeed,
  parseValue,
  shuffled,
  type Environment,
  type Episode,
  type EpisodeReward,
  type GenerateRequest,
  type GeneratedText,
  type PolicyPrompt,
} from "@memory-r1/spec";
import {
  computeAdvantages,
  computeDeviation,
  computeMean,
  computeSum,
  type GroupAdvantages,
} from "./advantages.ts";
import type { Decision, TrainingSequence } from "./datums.ts";
import { grpoConfigSchema, type GrpoConfig, type GrpoConfigInput } from "./grpo-config.ts";
import { computeKlAdvantages } from "./kl.ts";
import { computeLearningRate } from "./learning-rate.ts";
import type { BackwardResult, PolicyEngine } from "./policy-engine.ts";
import { computeLossScales, computeTokenLoss } from "./policy-loss.ts";
import {
  openRunLog,
  type Checkpoint,
  type LogRecord,
  type StepRecord,
  type ValidationRecord,
} from "./run-log.ts";

/** The verdict of whole validation episodes. An unhealthy policy is kept only while there was no healthy one. */
export interface Validation {
  /** Higher is better. */
  readonly score: number;
  readonly healthy: boolean;
  /** Why it is not healthy. */
  readonly reason?: string;
  readonly metrics: Readonly<Record<string, number>>;
}

export type GrpoPhase =
  | "sample"
  | "act"
  | "reward"
  | "train"
  | "refresh"
  | "validate"
  | "checkpoint";

/** Wall time by phase; a phase that did not happen is absent. */
export type PhaseSeconds = Readonly<Partial<Record<GrpoPhase, number>>>;

/** What a progress display can show while a run goes on. `step` counts finished steps. */
export type GrpoProgress =
  | {
      readonly kind: "phase";
      readonly phase: GrpoPhase;
      readonly step: number;
      readonly steps: number;
    }
  | { readonly kind: "record"; readonly record: LogRecord; readonly steps: number }
  | {
      readonly kind: "step";
      readonly step: number;
      readonly steps: number;
      readonly seconds: PhaseSeconds;
    };

export interface GrpoOptions<Task, E extends Episode> {
  readonly config: GrpoConfigInput;
  /** Names the agent: letters, digits, `_`, `-`. Part of every seed and of the checkpoints' names. */
  readonly stage: string;
  readonly runSeed: number;
  /** Hash of all else that decides the result (data, prompts, model): a resume compares it. */
  readonly fingerprint: string;
  readonly environment: Environment<Task, E>;
  /** Fresh: nothing loaded, nothing trained. */
  readonly engine: PolicyEngine;
  /** Folder for the run's logs. One with a checkpoint is resumed. */
  readonly directory: string;
  /** Sampler weights to start from, such as an earlier stage's best; absent: the base model. */
  readonly initialWeightsPath?: string;
  /** Plays validation episodes after `step` steps; `engine` is the TextGenerator to play them with. */
  readonly evaluate: (step: number) => Promise<Validation>;
  /** Deletes what `saveState` or `saveSamplerWeights` wrote, once a newer one has taken its place. */
  readonly removeCheckpoint: (path: string) => Promise<void>;
  readonly onProgress?: (progress: GrpoProgress) => void;
  /** Stops between calls, or after an update that has begun, with a checkpoint if the engine still answers. */
  readonly signal?: AbortSignal;
  /** Milliseconds; default the process' monotonic clock. */
  readonly clock?: () => number;
}

export interface GrpoResult {
  readonly bestStep: number;
  readonly bestScore: number;
  /** False if no validated policy was healthy: then the best is the best of those. */
  readonly bestHealthy: boolean;
  /** Sampler weights of the best, for `create_sampling_session`. */
  readonly bestPath: string;
  /** Steps done. */
  readonly lastStep: number;
  readonly history: readonly LogRecord[];
}

/**
 * Trains a policy and returns the best of its validated weights. A folder that holds a checkpoint of the same
 * configuration is gone on from there, to the same bytes of `metrics.jsonl` as without a break.
 * @throws ConfigError for a configuration that cannot be run, or a step without tasks.
 * @throws ResumeMismatchError if `directory` is another configuration's.
 * @throws NonFiniteError if a reward, metric, score, loss or log-probability is not finite.
 * @throws ModelCallError if more than half of a step's samples failed.
 * @throws EngineLostError if the engine is gone; the signal's reason when aborted. Both can be resumed.
 */
export async function trainGrpo<Task, E extends Episode>(
  options: GrpoOptions<Task, E>,
): Promise<GrpoResult> {
  const { engine, stage, signal } = options;
  const config = parseConfig(options);
  const log = await openRunLog(options.directory, hashConfiguration(config, options));

  let completed = log.resumed?.step ?? 0;
  let checkpoint: Pick<Checkpoint, "step" | "statePath" | "best"> | undefined = log.resumed;
  let best = log.resumed?.best;
  const timer = createTimer(options.clock ?? (() => performance.now()), (phase) =>
    options.onProgress?.({ kind: "phase", phase, step: completed, steps: config.steps }),
  );
  const run: Run<Task, E> = { options, config, timer };

  async function record(entry: LogRecord): Promise<void> {
    await log.append(entry);
    options.onProgress?.({ kind: "record", record: entry, steps: config.steps });
  }

  /** Keeps the weights of now if they are the best yet. Ties go to the earlier, which was trained less. */
  async function validate(): Promise<void> {
    const validation = await timer.measure("validate", () => options.evaluate(completed));
    await record(toValidationRecord(completed, validation));
    const { score, healthy } = validation;
    const better = best === undefined || (healthy === best.healthy ? score > best.score : healthy);
    if (!better) return;
    const samplerPath = await timer.measure("checkpoint", () =>
      engine.saveSamplerWeights(`${stage}-${completed}-sampler`),
    );
    best = { step: completed, score, healthy, samplerPath };
  }

  async function saveCheckpoint(bestYet: Checkpoint["best"]): Promise<void> {
    await timer.measure("checkpoint", async () => {
      const previous = checkpoint;
      const statePath = await engine.saveState(`${stage}-${completed}-state`);
      checkpoint = { step: completed, statePath, best: bestYet };
      await log.saveCheckpoint(checkpoint);
      // Only now: up to here a kill resumes from the previous one.
      if (previous === undefined) return;
      if (previous.statePath !== statePath) await options.removeCheckpoint(previous.statePath);
      if (previous.best.samplerPath !== bestYet.samplerPath)
        await options.removeCheckpoint(previous.best.samplerPath);
    });
  }

  /** Whether enough validations have passed without a new best. */
  function outOfPatience(): boolean {
    const bestStep = best?.step ?? 0;
    const worse = log.history.filter(
      (entry) => entry.type === "validation" && entry.step > bestStep,
    );
    return config.patience !== undefined && worse.length >= config.patience;
  }

  /** What is due after `completed` steps and not done yet. */
  async function closeStep(): Promise<Checkpoint["best"]> {
    const isLast = completed === config.steps;
    const validated = log.history.some(
      (entry) => entry.type === "validation" && entry.step === completed,
    );
    if (!validated && (completed === 0 || isLast || completed % config.validateEvery === 0))
      await validate();
    if (best === undefined)
      throw new ResumeMismatchError(
        `${options.directory} has a validation but no checkpoint: start in a new folder`,
      );
    const isNewBest = best.step === completed;
    const isDue =
      isNewBest || isLast || outOfPatience() || completed % config.checkpointEvery === 0;
    const isSaved = checkpoint?.step === completed && checkpoint.best.step === best.step;
    if (isDue && !isSaved) await saveCheckpoint(best);
    const seconds = timer.take();
    await log.appendTimings(completed, seconds);
    options.onProgress?.({ kind: "step", step: completed, steps: config.steps, seconds });
    return best;
  }

  if (log.resumed !== undefined) await engine.loadState(log.resumed.statePath);
  else if (options.initialWeightsPath !== undefined)
    await engine.loadSamplerWeights(options.initialWeightsPath);
  await timer.measure("refresh", () => engine.refreshSampler());
  try {
    let kept = await closeStep();
    while (completed < config.steps && !outOfPatience()) {
      const rollout = await rollOut(run, completed);
      signal?.throwIfAborted();
      const update = await updatePolicy(run, completed, rollout);
      await timer.measure("refresh", () => engine.refreshSampler());
      await record(toStepRecord(completed, config, rollout, update));
      completed += 1;
      kept = await closeStep();
    }
    return {
      bestStep: kept.step,
      bestScore: kept.score,
      bestHealthy: kept.healthy,
      bestPath: kept.samplerPath,
      lastStep: completed,
      history: log.history,
    };
  } catch (error) {
    // Nothing here stops on the signal while an update is under way, so the weights are those after `completed` steps.
    // Where the signal ended a call of the engine itself, this call ends the same way and the older checkpoint stands.
    const aborted = signal?.aborted === true && error === signal.reason;
    if (aborted && best !== undefined && checkpoint?.step !== completed) await saveCheckpoint(best);
    throw error;
  }
}

interface Run<Task, E extends Episode> {
  readonly options: GrpoOptions<Task, E>;
  readonly config: GrpoConfig;
  readonly timer: Timer;
}

/** One episode of a group, as far as it has gone. */
interface Sample<E> {
  /** Position of its task in the step, and of itself in its group. */
  readonly group: number;
  readonly index: number;
  readonly taskId: string;
  readonly episode: E;
  readonly decisions: SampledDecision[];
  /** Why it could not be sampled to its end. */
  failure: string | undefined;
}

interface SampledDecision extends Decision {
  /** It hit the token limit. */
  readonly cut: boolean;
}

/** A step's samples with what they are worth. */
interface Rollout<E> {
  readonly samples: readonly Sample<E>[];
  /** [samples]; undefined for those that could not be sampled. */
  readonly rewards: readonly (EpisodeReward | undefined)[];
  /** [groups][samples of the group] */
  readonly advantages: readonly GroupAdvantages[];
}

/** Plays all episodes of a step side by side, one decision of each per wave, and scores them together. */
async function rollOut<Task, E extends Episode>(
  { options, config, timer }: Run<Task, E>,
  step: number,
): Promise<Rollout<E>> {
  const { environment, engine, stage, runSeed, signal } = options;
  const tasks = await environment.tasks(step);
  if (tasks.length === 0)
    throw new ConfigError(
      `environment "${environment.name}" has no tasks for step ${step}: give it data to train on`,
    );
  const samples = tasks.flatMap((task, group) =>
    Array.from({ length: config.samplesPerTask }, (_, index): Sample<E> => ({
      group,
      index,
      taskId: environment.taskId(task),
      episode: environment.start(task),
      decisions: [],
      failure: undefined,
    })),
  );

  let live: readonly Sample<E>[] = samples;
  for (let decision = 0; ; decision++) {
    signal?.throwIfAborted();
    const prompts = await timer.measure("act", () =>
      Promise.all(live.map((sample) => sample.episode.nextPrompt())),
    );
    const waiting = mergeEqualPrompts(live, prompts);
    if (waiting.length === 0) break;
    const requests = waiting.map(({ prompt, first, samples: sharers }): GenerateRequest => ({
      ...prompt,
      maxTokens: config.maxCompletionTokens,
      // The only temperature at which sampler and trainer mean the same distribution.
      temperature: 1,
      count: sharers.length,
      seed: deriveSeed(runSeed, stage, step, first.taskId, first.group, first.index, decision),
    }));
    const results = await timer.measure("sample", () => engine.generate(requests));

    const acts: Promise<void>[] = [];
    for (const [position, { prompt, samples: sharers }] of waiting.entries()) {
      const result = results[position];
      if (result?.status !== "completed") {
        for (const sample of sharers)
          sample.failure = result?.reason ?? "the engine gave no result";
        continue;
      }
      for (const [place, sample] of sharers.entries()) {
        const completion = result.completions[place];
        if (completion === undefined) {
          sample.failure = `the engine gave ${result.completions.length} of ${sharers.length} completions`;
          continue;
        }
        sample.decisions.push(toDecision(prompt, result.promptTokens, completion));
        acts.push(sample.episode.act(completion));
      }
    }
    await timer.measure("act", () => Promise.all(acts));
    live = waiting
      .flatMap((request) => request.samples)
      .filter((sample) => sample.failure === undefined);
  }

  signal?.throwIfAborted();
  const finished = samples.filter((sample) => sample.failure === undefined);
  const scores = await timer.measure("reward", () =>
    environment.rewards(finished.map((sample) => sample.episode)),
  );
  if (scores.length !== finished.length)
    throw new ConfigError(
      `environment "${environment.name}" gave ${scores.length} rewards for ${finished.length} episodes: it must give one each`,
    );
  const rewardOf = new Map(finished.map((sample, position) => [sample, scores[position]]));
  const rewards = samples.map((sample) => rewardOf.get(sample));
  for (const score of scores) {
    if (score.reward !== undefined) assertFinite("the reward", step, score.reward);
    for (const [name, value] of Object.entries(score.metrics))
      assertFinite(`the environment's metric "${name}"`, step, value);
  }
  stopIfMostFailed(step, samples, rewards);
  return {
    samples,
    rewards,
    advantages: computeAdvantages(
      tasks.map((_, group) =>
        samples.flatMap((sample, position) =>
          sample.group === group ? [rewards[position]?.reward] : [],
        ),
      ),
      config.advantages,
    ),
  };
}

interface WaitingPrompt<E> {
  readonly prompt: PolicyPrompt;
  readonly first: Sample<E>;
  /** Samples of one group that wait for a completion of this prompt. */
  readonly samples: readonly Sample<E>[];
}

/** One request per distinct prompt of a group: its prompt is computed once, for sampling and for training. */
function mergeEqualPrompts<E>(
  samples: readonly Sample<E>[],
  prompts: readonly (PolicyPrompt | undefined)[],
): readonly WaitingPrompt<E>[] {
  const waiting = new Map<
    string,
    { prompt: PolicyPrompt; first: Sample<E>; samples: Sample<E>[] }
  >();
  for (const [position, sample] of samples.entries()) {
    const prompt = prompts[position];
    if (prompt === undefined) continue;
    const key = JSON.stringify([sample.group, prompt.messages, prompt.constraint ?? null]);
    const sharers = waiting.get(key);
    if (sharers === undefined) waiting.set(key, { prompt, first: sample, samples: [sample] });
    else sharers.samples.push(sample);
  }
  return [...waiting.values()];
}

function toDecision(
  prompt: PolicyPrompt,
  promptTokens: readonly number[] | undefined,
  completion: GeneratedText,
): SampledDecision {
  if (
    promptTokens === undefined ||
    completion.tokens === undefined ||
    completion.logProbs === undefined
  )
    throw new ModelCallError(
      "the policy engine gave text without its tokens and log-probabilities: training needs all three",
      { retryable: false },
    );
  return {
    promptTokens,
    completionTokens: completion.tokens,
    logProbs: completion.logProbs,
    cut: completion.stopReason === "length",
    ...(prompt.constraint === undefined ? {} : { constraint: prompt.constraint }),
  };
}

function stopIfMostFailed<E>(
  step: number,
  samples: readonly Sample<E>[],
  rewards: readonly (EpisodeReward | undefined)[],
): void {
  const masked = rewards.filter((reward) => reward?.reward === undefined).length;
  if (masked * 2 <= samples.length) return;
  const unsampled = samples.filter((sample) => sample.failure !== undefined);
  const reason = unsampled[0]?.failure ?? "the environment could not score them";
  throw new ModelCallError(
    `step ${step}: ${masked} of ${samples.length} samples failed (${unsampled.length} while sampling). First reason: ${reason}. ` +
      "The weights are those before the step: mend the cause and resume",
    { retryable: false },
  );
}

/** A decision of a scored episode with its advantage per token, before scaling for the aggregate. */
interface WeightedDecision {
  readonly group: number;
  readonly decision: Decision;
  readonly advantages: readonly number[];
}

/** One optimiser step: the sequences sent, and what came back. */
interface OptimizerStep {
  readonly sequences: readonly TrainingSequence[];
  readonly result: BackwardResult;
  readonly gradientNorm: number | undefined;
}

interface PolicyUpdate {
  readonly optimizerSteps: readonly OptimizerStep[];
  /** Decisions with an advantage. */
  readonly trainedDecisions: number;
  readonly meanKl: number | undefined;
}

/** Turns advantages into optimiser steps. */
async function updatePolicy<Task, E extends Episode>(
  { options, config, timer }: Run<Task, E>,
  step: number,
  rollout: Rollout<E>,
): Promise<PolicyUpdate> {
  const { engine, runSeed, stage } = options;
  const outcome = rollout.samples.flatMap((sample): WeightedDecision[] => {
    const own = rollout.advantages[sample.group]?.samples[sample.index];
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

function toStepRecord<E>(
  step: number,
  config: GrpoConfig,
  { samples, rewards, advantages }: Rollout<E>,
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

function toValidationRecord(step: number, validation: Validation): ValidationRecord {
  assertFinite("the validation's score", step, validation.score);
  for (const [name, value] of Object.entries(validation.metrics))
    assertFinite(`the validation's metric "${name}"`, step, value);
  return { type: "validation", step, ...validation };
}

function assertFinite(name: string, step: number, value: number): void {
  if (!Number.isFinite(value)) throw new NonFiniteError(name, step, value);
}

function parseConfig<Task, E extends Episode>(options: GrpoOptions<Task, E>): GrpoConfig {
  const config = parseValue(options.config, grpoConfigSchema, "the GRPO configuration");
  if (!/^[a-zA-Z0-9_-]{1,200}$/.test(options.stage))
    throw new ConfigError(
      `stage "${options.stage}" names checkpoints: use letters, digits, "_" and "-"`,
    );
  if (config.loss.kind !== "ppo" && config.epochs * config.minibatches > 1)
    throw new ConfigError(
      `${config.epochs} epochs of ${config.minibatches} minibatches use samples more than once: ` +
        'set loss to {"kind":"ppo"}, which bounds the ratios, or both to 1',
    );
  return config;
}

/** Equal hashes continue each other. How far to train and how often to write checkpoints changes no step. */
function hashConfiguration<Task, E extends Episode>(
  config: GrpoConfig,
  { stage, runSeed, fingerprint, environment, initialWeightsPath }: GrpoOptions<Task, E>,
): string {
  const { steps: _steps, checkpointEvery: _checkpointEvery, ...deciding } = config;
  const start = initialWeightsPath ?? null;
  const identity = ["grpo", 1, deciding, stage, runSeed, fingerprint, environment.name, start];
  return createHash("sha256").update(JSON.stringify(identity)).digest("hex");
}

interface Timer {
  /** Adds the time that `work` takes to its phase. */
  measure<T>(phase: GrpoPhase, work: () => Promise<T>): Promise<T>;
  /** The seconds since the last call of `take`. */
  take(): PhaseSeconds;
}

function createTimer(clock: () => number, onPhase: (phase: GrpoPhase) => void): Timer {
  let seconds: Partial<Record<GrpoPhase, number>> = {};
  return {
    async measure(phase, work) {
      onPhase(phase);
      const start = clock();
      try {
        return await work();
      } finally {
        seconds[phase] = (seconds[phase] ?? 0) + (clock() - start) / 1000;
      }
    },
    take() {
      const taken = seconds;
      seconds = {};
      return taken;
    },
  };
}
