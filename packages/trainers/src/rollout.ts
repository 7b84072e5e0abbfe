import {
  ConfigError,
  ModelCallError,
  deriveSeed,
  type Environment,
  type Episode,
  type EpisodeReward,
  type GenerateRequest,
  type GeneratedText,
  type PolicyPrompt,
} from "@memory-r1/spec";
import type { Decision } from "./datums.ts";
import type { PolicyEngine } from "./policy-engine.ts";
import { assertFinite, type Timer } from "./training-loop.ts";

/** How a step's episodes are sampled: a part of every configuration that samples. */
export interface RolloutConfig {
  readonly samplesPerTask: number;
  readonly maxCompletionTokens: number;
  /** How often a group whose rewards are all equal is sampled again at most. */
  readonly resampleTries: number;
  /** Parts of a step's tasks that are sampled one after the other, each scored while the next is sampled. */
  readonly samplingParts: number;
}

export interface RolloutOptions<Task, E extends Episode> {
  readonly environment: Environment<Task, E>;
  readonly engine: Pick<PolicyEngine, "generate">;
  readonly stage: string;
  readonly runSeed: number;
  readonly config: RolloutConfig;
  readonly signal?: AbortSignal | undefined;
}

/** One episode of a group, as far as it has gone. */
export interface Sample<E> {
  /** Position of its task in the step, and of itself in its group. */
  readonly group: number;
  readonly index: number;
  readonly taskId: string;
  readonly episode: E;
  readonly decisions: SampledDecision[];
  /** Why it could not be sampled to its end. */
  failure: string | undefined;
}

export interface SampledDecision extends Decision {
  /** It hit the token limit. */
  readonly cut: boolean;
}

/** A step's samples with what they are worth. */
export interface Rollout<E> {
  readonly samples: readonly Sample<E>[];
  /** [samples]; undefined for those that could not be sampled. */
  readonly rewards: readonly (EpisodeReward | undefined)[];
  /** [groups][samples of the group]; undefined for those that could not be sampled or scored. */
  readonly groupRewards: readonly (readonly (number | undefined)[])[];
  /** The scored rewards before any group was sampled again: what the policy is worth, not what it is trained on. */
  readonly firstRewards: readonly number[];
  /** How often a group was sampled again. */
  readonly resampled: number;
}

/** Which draw of its episodes a step is at. */
interface Draw {
  readonly step: number;
  /** 0, or how often its groups have been sampled before. */
  readonly attempt: number;
}

/** Scores of episodes that ended in one wave, on their way. */
interface Scoring<E> {
  readonly samples: readonly Sample<E>[];
  readonly scores: Promise<readonly EpisodeReward[]>;
}

/**
 * Plays all episodes of a step side by side, one decision of each per wave, then those that begin where these came by
 * (the environment's local tasks). Episodes that end in one wave are scored together, while the next wave is sampled:
 * which are scored together never depends on time.
 * @throws ConfigError for a step without tasks, or an environment that gives too few rewards.
 * @throws ModelCallError if more than half of the samples failed.
 * @throws NonFiniteError if a reward or a metric is not finite.
 */
export async function rollOut<Task, E extends Episode>(
  options: RolloutOptions<Task, E>,
  step: number,
  timer: Timer,
): Promise<Rollout<E>> {
  const { environment, config } = options;
  const tasks = await environment.tasks(step);
  if (tasks.length === 0)
    throw new ConfigError(
      `environment "${environment.name}" has no tasks for step ${step}: give it data to train on`,
    );
  const allTasks = [...tasks];
  const startGroup = (group: number): readonly Sample<E>[] => {
    const task = allTasks[group];
    if (task === undefined) throw new RangeError(`step ${step} has no task ${group}`);
    const length = environment.samplesOf?.(task) ?? config.samplesPerTask;
    return Array.from({ length }, (_, index): Sample<E> => ({
      group,
      index,
      taskId: environment.taskId(task),
      episode: environment.start(task),
      decisions: [],
      failure: undefined,
    }));
  };

  const samples = tasks.map((_, group) => startGroup(group));
  const rewards = new Map(
    await playAndScore(options, samples, { step, attempt: 0 }, config.samplingParts, timer),
  );
  const rewardsOf = (group: readonly Sample<E>[]): readonly (number | undefined)[] =>
    group.map((sample) => rewards.get(sample)?.reward);
  const checkFailures = (): void =>
    stopIfMostFailed(
      step,
      samples.flat(),
      samples.flatMap((group) => rewardsOf(group)),
    );
  checkFailures();

  const ended = samples.flat().filter((sample) => sample.failure === undefined);
  const localTasks =
    (await environment.localTasks?.(
      step,
      ended.map((sample) => sample.episode),
    )) ?? [];
  if (localTasks.length > 0) {
    allTasks.push(...localTasks);
    const local = localTasks.map((_, position) => startGroup(tasks.length + position));
    const scores = await playAndScore(options, local, { step, attempt: 0 }, 1, timer);
    samples.push(...local);
    for (const [sample, score] of scores) rewards.set(sample, score);
    checkFailures();
  }
  const firstRewards = [...rewards.values()].flatMap(({ reward }) => reward ?? []);

  let resampled = 0;
  for (let attempt = 1; attempt <= config.resampleTries; attempt++) {
    const equal = samples.flatMap((group, position) =>
      hasEqualRewards(rewardsOf(group)) ? [position] : [],
    );
    if (equal.length === 0) break;
    resampled += equal.length;
    const redrawn = equal.map(startGroup);
    const scores = await playAndScore(options, redrawn, { step, attempt }, 1, timer);
    for (const [place, position] of equal.entries()) {
      const group = redrawn[place] ?? [];
      // One that teaches nothing either is not taken: the first is what the policy is worth.
      if (!hasVariance(group.map((sample) => scores.get(sample)?.reward))) continue;
      samples[position] = group;
      for (const sample of group) {
        const score = scores.get(sample);
        if (score !== undefined) rewards.set(sample, score);
      }
    }
  }
  return {
    samples: samples.flat(),
    rewards: samples.flat().map((sample) => rewards.get(sample)),
    groupRewards: samples.map((group) => rewardsOf(group)),
    firstRewards,
    resampled,
  };
}

/** Two scored rewards or more, and all the same: another draw may differ. */
function hasEqualRewards(rewards: readonly (number | undefined)[]): boolean {
  return rewards.filter((reward) => reward !== undefined).length > 1 && !hasVariance(rewards);
}

function hasVariance(rewards: readonly (number | undefined)[]): boolean {
  return new Set(rewards.filter((reward) => reward !== undefined)).size > 1;
}

/** The rewards of the samples that came to their end, in the order of `groups`. */
async function playAndScore<Task, E extends Episode>(
  options: RolloutOptions<Task, E>,
  groups: readonly (readonly Sample<E>[])[],
  draw: Draw,
  parts: number,
  timer: Timer,
): Promise<ReadonlyMap<Sample<E>, EpisodeReward>> {
  const { environment, signal } = options;
  const scorings: Scoring<E>[] = [];
  for (const part of splitEvenly(groups, parts))
    await play(options, part.flat(), draw, timer, (ended) => {
      const scores = environment.rewards(ended.map((sample) => sample.episode));
      // Awaited below; if sampling fails before, that is the error to tell.
      scores.catch(() => undefined);
      scorings.push({ samples: ended, scores });
    });
  signal?.throwIfAborted();
  const rewards = new Map<Sample<E>, EpisodeReward>();
  for (const { samples: ended, scores } of scorings) {
    const scored = await timer.measure("reward", () => scores);
    if (scored.length !== ended.length)
      throw new ConfigError(
        `environment "${environment.name}" gave ${scored.length} rewards for ${ended.length} episodes: it must give one each`,
      );
    for (const [position, sample] of ended.entries()) {
      const score = scored[position];
      if (score === undefined) continue;
      if (score.reward !== undefined) assertFinite("the reward", draw.step, score.reward);
      for (const [name, value] of Object.entries(score.metrics))
        assertFinite(`the environment's metric "${name}"`, draw.step, value);
      rewards.set(sample, score);
    }
  }
  return new Map(
    groups.flat().flatMap((sample) => {
      const score = rewards.get(sample);
      return score === undefined ? [] : [[sample, score] as const];
    }),
  );
}

/** At most `parts` runs of nearly equal length, in order. */
function splitEvenly<T>(items: readonly T[], parts: number): readonly (readonly T[])[] {
  const count = Math.min(parts, items.length);
  return Array.from({ length: count }, (_, part) =>
    items.slice(
      Math.floor((part * items.length) / count),
      Math.floor(((part + 1) * items.length) / count),
    ),
  );
}

/** Plays episodes to their end, and tells which have come to it after each wave. */
async function play<Task, E extends Episode>(
  { engine, stage, runSeed, config, signal }: RolloutOptions<Task, E>,
  samples: readonly Sample<E>[],
  { step, attempt }: Draw,
  timer: Timer,
  onEnded: (ended: readonly Sample<E>[]) => void,
): Promise<void> {
  let live: readonly Sample<E>[] = samples;
  for (let decision = 0; ; decision++) {
    signal?.throwIfAborted();
    const prompts = await timer.measure("act", () =>
      Promise.all(live.map((sample) => sample.episode.nextPrompt())),
    );
    const ended = live.filter((_, position) => prompts[position] === undefined);
    if (ended.length > 0) onEnded(samples.filter((sample) => ended.includes(sample)));
    const waiting = mergeEqualPrompts(live, prompts);
    if (waiting.length === 0) return;
    const requests = waiting.map(({ prompt, first, samples: sharers }): GenerateRequest => ({
      ...prompt,
      maxTokens: config.maxCompletionTokens,
      // The only temperature at which sampler and trainer mean the same distribution.
      temperature: 1,
      count: sharers.length,
      seed: deriveSeed(
        runSeed,
        stage,
        step,
        first.taskId,
        first.group,
        first.index,
        decision,
        ...(attempt === 0 ? [] : [attempt]),
      ),
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
  rewards: readonly (number | undefined)[],
): void {
  const masked = rewards.filter((reward) => reward === undefined).length;
  if (masked * 2 <= samples.length) return;
  const unsampled = samples.filter((sample) => sample.failure !== undefined);
  const reason = unsampled[0]?.failure ?? "the environment could not score them";
  throw new ModelCallError(
    `step ${step}: ${masked} of ${samples.length} samples failed (${unsampled.length} while sampling). First reason: ${reason}. ` +
      "The weights are those before the step: mend the cause and resume",
    { retryable: false },
  );
}
