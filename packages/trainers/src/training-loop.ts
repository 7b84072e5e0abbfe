import {
  ConfigError,
  NonFiniteError,
  ResumeMismatchError,
  type ObservedValidation,
} from "@memory-r1/spec";
import type { PolicyEngine } from "./policy-engine.ts";
import {
  openRunLog,
  type Checkpoint,
  type LogRecord,
  type NewCheckpoint,
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
  /** Why training should go back to the best weights, if these are healthy and of an earlier step; absent: it should not. */
  readonly rollBack?: string;
  readonly metrics: Readonly<Record<string, number>>;
}

export type TrainingPhase =
  | "sample"
  | "act"
  | "reward"
  | "critic"
  | "train"
  | "refresh"
  | "validate"
  | "checkpoint";

/** Wall time by phase; a phase that did not happen is absent. */
export type PhaseSeconds = Readonly<Partial<Record<TrainingPhase, number>>>;

/** What a progress display can show while a run goes on. `step` counts finished steps. */
export type TrainingProgress =
  | {
      readonly kind: "phase";
      readonly phase: TrainingPhase;
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

/** What every trainer is told, whatever its algorithm. */
export interface TrainingOptions {
  /** Names the agent: letters, digits, `_`, `-`. Part of every seed and of the checkpoints' names. */
  readonly stage: string;
  readonly runSeed: number;
  /** Hash of all else that decides the result (data, prompts, model): a resume compares it. */
  readonly fingerprint: string;
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
  /** Hears of what is not right but stops nothing, such as a sampler that drifts from the trainer. */
  readonly onWarning?: (message: string) => void;
  readonly onProgress?: (progress: TrainingProgress) => void;
  /** Stops between calls, or after an update that has begun, with a checkpoint if the engine still answers. */
  readonly signal?: AbortSignal;
  /** Milliseconds; default the process' monotonic clock. */
  readonly clock?: () => number;
}

/** How long a run goes on and how often it is validated and saved; part of every algorithm's configuration. */
export interface LoopConfig {
  readonly steps: number;
  readonly validateEvery: number;
  readonly checkpointEvery: number;
  readonly patience?: number | undefined;
}

export interface TrainingResult {
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

/** One algorithm's part of the loop. */
export interface TrainingPlan {
  readonly config: LoopConfig;
  /** Hash of all that decides a step: equal ones continue each other. */
  readonly configHash: string;
  /**
   * Everything from the samples to the optimiser's last step of one training step. Stops on the signal only as long as
   * the weights are those before the step.
   */
  readonly takeStep: (step: number, timer: Timer) => Promise<StepRecord>;
  /** What the algorithm has to keep besides the policy. `load` comes before anything else, `save` between steps. */
  readonly besides?: {
    readonly save: (name: string) => Promise<NonNullable<Checkpoint["ppo"]>>;
    readonly load: (saved: NonNullable<Checkpoint["ppo"]>) => Promise<void>;
  };
  /** Hears of the validations of the log when a run is resumed, then of each new one. */
  readonly observe?: (validation: ObservedValidation) => void;
}

/**
 * Validates, trains, saves and resumes, the same for every algorithm. A folder that holds a checkpoint of the same
 * configuration is gone on from there, to the same bytes of `metrics.jsonl` as without a break.
 * @throws ConfigError if `stage` cannot name checkpoints.
 * @throws ResumeMismatchError if `directory` is another configuration's.
 * @throws NonFiniteError if a score or metric of a validation is not finite.
 */
export async function runTrainingLoop(
  options: TrainingOptions,
  plan: TrainingPlan,
): Promise<TrainingResult> {
  const { engine, stage, signal } = options;
  const { config } = plan;
  if (!/^[a-zA-Z0-9_-]{1,200}$/.test(stage))
    throw new ConfigError(`stage "${stage}" names checkpoints: use letters, digits, "_" and "-"`);
  const log = await openRunLog(options.directory, plan.configHash);

  let completed = log.resumed?.step ?? 0;
  let checkpoint: NewCheckpoint | undefined = log.resumed;
  let best = log.resumed?.best;
  const timer = createTimer(options.clock ?? (() => performance.now()), (phase) =>
    options.onProgress?.({ kind: "phase", phase, step: completed, steps: config.steps }),
  );

  async function record(entry: LogRecord): Promise<void> {
    await log.append(entry);
    options.onProgress?.({ kind: "record", record: entry, steps: config.steps });
  }

  /** Goes on from the best weights instead of those of now: the moments that led away from them are forgotten, too. */
  async function goBack(to: Checkpoint["best"], reason: string): Promise<void> {
    await timer.measure("refresh", async () => {
      await engine.loadSamplerWeights(to.samplerPath);
      await engine.refreshSampler();
    });
    await record({ type: "rollback", step: completed, toStep: to.step, reason });
  }

  /** Keeps the weights of now if they are the best yet. Ties go to the earlier, which was trained less. */
  async function validate(): Promise<void> {
    const validation = await timer.measure("validate", () => options.evaluate(completed));
    const entry = toValidationRecord(completed, validation);
    await record(entry);
    plan.observe?.(entry);
    const { score, healthy, rollBack } = validation;
    if (rollBack !== undefined && best?.healthy === true && completed < config.steps)
      await goBack(best, rollBack);
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
      const ppo = await plan.besides?.save(`${stage}-${completed}-critic`);
      checkpoint = {
        step: completed,
        statePath,
        ...(ppo === undefined ? {} : { ppo }),
        best: bestYet,
      };
      await log.saveCheckpoint(checkpoint);
      // Only now: up to here a kill resumes from the previous one.
      if (previous === undefined) return;
      if (previous.statePath !== statePath) await options.removeCheckpoint(previous.statePath);
      if (previous.ppo !== undefined && previous.ppo.criticPath !== ppo?.criticPath)
        await options.removeCheckpoint(previous.ppo.criticPath);
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
    const hasGoneBack = log.history.some(
      (entry) => entry.type === "rollback" && entry.step === completed,
    );
    const isDue =
      isNewBest ||
      isLast ||
      hasGoneBack ||
      outOfPatience() ||
      completed % config.checkpointEvery === 0;
    const isSaved = checkpoint?.step === completed && checkpoint.best.step === best.step;
    if (isDue && !isSaved) await saveCheckpoint(best);
    const seconds = timer.take();
    await log.appendTimings(completed, seconds);
    options.onProgress?.({ kind: "step", step: completed, steps: config.steps, seconds });
    return best;
  }

  if (log.resumed !== undefined) {
    await engine.loadState(log.resumed.statePath);
    if (log.resumed.ppo !== undefined) await plan.besides?.load(log.resumed.ppo);
  } else if (options.initialWeightsPath !== undefined)
    await engine.loadSamplerWeights(options.initialWeightsPath);
  for (const entry of log.history) if (entry.type === "validation") plan.observe?.(entry);
  await timer.measure("refresh", () => engine.refreshSampler());
  try {
    let kept = await closeStep();
    while (completed < config.steps && !outOfPatience()) {
      const taken = await plan.takeStep(completed, timer);
      await timer.measure("refresh", () => engine.refreshSampler());
      await record(taken);
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

function toValidationRecord(step: number, validation: Validation): ValidationRecord {
  assertFinite("the validation's score", step, validation.score);
  for (const [name, value] of Object.entries(validation.metrics))
    assertFinite(`the validation's metric "${name}"`, step, value);
  return { type: "validation", step, ...validation };
}

/** @throws NonFiniteError naming the value and the step. */
export function assertFinite(name: string, step: number, value: number): void {
  if (!Number.isFinite(value)) throw new NonFiniteError(name, step, value);
}

/** Wall time by phase, told to a progress display as phases begin. */
export interface Timer {
  /** Adds the time that `work` takes to its phase. */
  measure<T>(phase: TrainingPhase, work: () => Promise<T>): Promise<T>;
  /** The seconds since the last call of `take`. */
  take(): PhaseSeconds;
}

function createTimer(clock: () => number, onPhase: (phase: TrainingPhase) => void): Timer {
  let seconds: Partial<Record<TrainingPhase, number>> = {};
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
