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

export interface RolloutOptions<Task, E extends Episode> {
  readonly environment: Environment<Task, E>;
  readonly engine: Pick<PolicyEngine, "generate">;
  readonly stage: string;
  readonly runSeed: number;
  readonly samplesPerTask: number;
  readonly maxCompletionTokens: number;
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
}

/**
 * Plays all episodes of a step side by side, one decision of each per wave, then those that begin where these came by
 * (the environment's local tasks), and scores them together.
 * @throws ConfigError for a step without tasks, or an environment that gives too few rewards.
 * @throws ModelCallError if more than half of the samples failed.
 * @throws NonFiniteError if a reward or a metric is not finite.
 */
export async function rollOut<Task, E extends Episode>(
  options: RolloutOptions<Task, E>,
  step: number,
  timer: Timer,
): Promise<Rollout<E>> {
  const { environment, signal } = options;
  const tasks = await environment.tasks(step);
  if (tasks.length === 0)
    throw new ConfigError(
      `environment "${environment.name}" has no tasks for step ${step}: give it data to train on`,
    );
  const startGroup = (task: Task, group: number): readonly Sample<E>[] =>
    Array.from(
      { length: environment.samplesOf?.(task) ?? options.samplesPerTask },
      (_, index): Sample<E> => ({
        group,
        index,
        taskId: environment.taskId(task),
        episode: environment.start(task),
        decisions: [],
        failure: undefined,
      }),
    );
  const first = tasks.flatMap(startGroup);
  await play(options, first, step, timer);
  const ended = first.filter((sample) => sample.failure === undefined);
  const localTasks =
    (await environment.localTasks?.(
      step,
      ended.map((sample) => sample.episode),
    )) ?? [];
  const local = localTasks.flatMap((task, position) => startGroup(task, tasks.length + position));
  if (local.length > 0) await play(options, local, step, timer);
  const samples = [...first, ...local];

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
    groupRewards: [...tasks, ...localTasks].map((_, group) =>
      samples.flatMap((sample, position) =>
        sample.group === group ? [rewards[position]?.reward] : [],
      ),
    ),
  };
}

/** Plays episodes to their end. */
async function play<Task, E extends Episode>(
  { engine, stage, runSeed, signal, ...options }: RolloutOptions<Task, E>,
  samples: readonly Sample<E>[],
  step: number,
  timer: Timer,
): Promise<void> {
  let live: readonly Sample<E>[] = samples;
  for (let decision = 0; ; decision++) {
    signal?.throwIfAborted();
    const prompts = await timer.measure("act", () =>
      Promise.all(live.map((sample) => sample.episode.nextPrompt())),
    );
    const waiting = mergeEqualPrompts(live, prompts);
    if (waiting.length === 0) return;
    const requests = waiting.map(({ prompt, first, samples: sharers }): GenerateRequest => ({
      ...prompt,
      maxTokens: options.maxCompletionTokens,
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
