import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { DataFormatError, ResumeMismatchError, parseJson } from "@memory-r1/spec";
import { z } from "zod";
import {
  appendJsonLine,
  dropPartialLine,
  logLength,
  readFileIfPresent,
  truncateLog,
  writeFileAtomic,
} from "./run-files.ts";

const rangeSchema = z.strictObject({ mean: z.number(), min: z.number(), max: z.number() });

/** One training step, measured. Everything in it is a function of configuration, seed, data and weights: no times. */
export const stepRecordSchema = z.strictObject({
  type: z.literal("step"),
  /** 0-based. */
  step: z.int(),
  learningRate: z.number(),
  /**
   * Over the scored samples, before any group was sampled again; `deviation` is the population's. Absent where nothing
   * was sampled.
   */
  reward: z
    .strictObject({
      mean: z.number(),
      deviation: z.number(),
      min: z.number(),
      max: z.number(),
    })
    .optional(),
  /** Absent where tasks have one sample each. */
  groups: z
    .strictObject({
      count: z.int(),
      /** Groups whose rewards are all equal: they teach nothing. */
      zeroVariance: z.int(),
      zeroVarianceShare: z.number(),
      /** How often a group without variance was sampled again, where that was asked for. */
      resampled: z.int().optional(),
    })
    .optional(),
  samples: z
    .strictObject({
      count: z.int(),
      /** Samples that could not be sampled or scored: in no mean, no advantage, no gradient. */
      masked: z.int(),
      /** Completions of all samples. */
      decisions: z.int(),
      /** Completions with an advantage or chosen to be imitated, which the update ran on. */
      trainedDecisions: z.int(),
    })
    .optional(),
  /** Of all completions. Absent where there were none. */
  promptTokens: rangeSchema.optional(),
  completions: z.strictObject({
    meanTokens: z.number(),
    minTokens: z.int(),
    maxTokens: z.int(),
    /** Share that hit the token limit. */
    cutShare: z.number(),
  }),
  /** Of the trained tokens, as the loss takes them but for its scale. Absent where nothing was scored. */
  advantages: rangeSchema.optional(),
  /** Null where nothing had anything to teach, or the critic still warms up: then the policy stays as it is. */
  update: z
    .strictObject({
      optimizerSteps: z.int(),
      /** The aggregated loss, mean over the optimiser steps. */
      loss: z.number(),
      /** Its policy term, where the loss has others, too. */
      policyLoss: z.number().optional(),
      /** Share of trained tokens whose ratio the clip held back. Absent where there are no ratios. */
      clipFraction: z.number().optional(),
      /** Share of trained tokens that the dual clip held back, where it is on. */
      dualClipFraction: z.number().optional(),
      /** Mean over all trained tokens, and optimiser steps, of log-probability at sampling - now. */
      policyKl: z.number().optional(),
      /** Before clipping, mean over the optimiser steps. */
      gradientNorm: z.number().optional(),
      /** Nats per trained token. */
      entropy: z.number().optional(),
      /**
       * d = log-probability of sampler - trainer, before the first optimiser step: mean |d|, mean d, mean d^2 / 2,
       * largest |d|, and the tokens whose |d| is above the configured limit.
       */
      logProbDifference: z
        .strictObject({
          meanAbsolute: z.number(),
          k1: z.number(),
          k2: z.number(),
          max: z.number(),
          aboveLimit: z.int(),
        })
        .optional(),
      /** Mean divergence from the reference policy, where it was asked for. */
      kl: z.number().optional(),
      /** What the divergence was multiplied by in this step's rewards (PPO). */
      klCoefficient: z.number().optional(),
      tokensComputed: z.number().optional(),
      tokensUnpacked: z.number().optional(),
    })
    .nullable(),
  /** PPO's critic. Absent where no episode could be scored. */
  critic: z
    .strictObject({
      optimizerSteps: z.int(),
      learningRate: z.number(),
      /** The aggregated value loss, mean over the optimiser steps. */
      loss: z.number(),
      clipFraction: z.number(),
      gradientNorm: z.number().optional(),
      /** 1 - variance of (return - value) / variance of returns; absent for fewer than two tokens. */
      explainedVariance: z.number().optional(),
      values: rangeSchema,
      returns: rangeSchema,
      /** Before whitening. */
      advantages: rangeSchema,
    })
    .optional(),
  /** Sums of the metrics of all episodes that ended, unscored ones included. */
  environment: z
    .strictObject({ episodes: z.int(), sums: z.record(z.string(), z.number()) })
    .optional(),
});
export type StepRecord = z.infer<typeof stepRecordSchema>;

/** What whole validation episodes say of the policy after `step` steps. */
export const validationRecordSchema = z.strictObject({
  type: z.literal("validation"),
  step: z.int(),
  score: z.number(),
  healthy: z.boolean(),
  reason: z.string().optional(),
  /** Why training was to go back to the best weights. */
  rollBack: z.string().optional(),
  metrics: z.record(z.string(), z.number()),
});
export type ValidationRecord = z.infer<typeof validationRecordSchema>;

/** Training went on from the best weights of an earlier step, with a fresh optimiser. */
const rollbackRecordSchema = z.strictObject({
  type: z.literal("rollback"),
  /** Steps done; the next one has this number. */
  step: z.int(),
  /** The step whose weights were taken. */
  toStep: z.int(),
  reason: z.string(),
});

export const logRecordSchema = z.discriminatedUnion("type", [
  stepRecordSchema,
  validationRecordSchema,
  rollbackRecordSchema,
]);
export type LogRecord = z.infer<typeof logRecordSchema>;

/** A state from which a run goes on. Lines of `checkpoints.jsonl`; the last one counts. */
export const checkpointSchema = z.strictObject({
  version: z.literal(1),
  configHash: z.string(),
  /** Steps done. */
  step: z.int(),
  /** For `load_weights`. Only the last line's exists: older ones are removed. */
  statePath: z.string(),
  /** What a PPO run has besides: its critic's state, and the coefficient that an adaptive KL penalty has come to. */
  ppo: z.strictObject({ criticPath: z.string(), klCoefficient: z.number() }).optional(),
  best: z.strictObject({
    step: z.int(),
    score: z.number(),
    healthy: z.boolean(),
    /** For `create_sampling_session`. */
    samplerPath: z.string(),
  }),
  /** Length of `metrics.jsonl` at this moment: what is longer on resume is cut. */
  metricsBytes: z.int(),
});
export type Checkpoint = z.infer<typeof checkpointSchema>;
/** What a loop knows of a checkpoint; the log adds the rest. */
export type NewCheckpoint = Pick<Checkpoint, "step" | "statePath" | "ppo" | "best">;

/** The files of one training run: `metrics.jsonl`, `timings.jsonl` and `checkpoints.jsonl` in one folder. */
export interface RunLog {
  /** The checkpoint to go on from; undefined in a new folder. */
  readonly resumed: Checkpoint | undefined;
  /** All records, those before the resume included. */
  readonly history: readonly LogRecord[];
  append(record: LogRecord): Promise<void>;
  /** Wall times, apart from the metrics so that those are equal bytes in every repetition. Steps done twice stay. */
  appendTimings(step: number, seconds: Readonly<Record<string, number>>): Promise<void>;
  saveCheckpoint(checkpoint: NewCheckpoint): Promise<void>;
}

/**
 * Opens a run's folder, new or not. A folder with a checkpoint is cut back to it; one without starts over.
 * @throws ResumeMismatchError if the folder is another configuration's, or its logs are shorter than at the checkpoint.
 * @throws DataFormatError if a file does not hold what this version writes.
 */
export async function openRunLog(directory: string, configHash: string): Promise<RunLog> {
  await mkdir(directory, { recursive: true });
  const metricsPath = join(directory, "metrics.jsonl");
  const timingsPath = join(directory, "timings.jsonl");
  const checkpointsPath = join(directory, "checkpoints.jsonl");

  let checkpointLines = (await readFileIfPresent(checkpointsPath)) ?? "";
  const resumed = parseLines(checkpointLines, checkpointSchema, checkpointsPath).at(-1);
  if (resumed !== undefined && resumed.configHash !== configHash)
    throw new ResumeMismatchError(
      `${checkpointsPath} was written under configuration ${resumed.configHash}, this run has ${configHash}. ` +
        "Use the configuration, data and seed that the run was started with, or another folder",
    );
  await truncateLog(metricsPath, resumed?.metricsBytes ?? 0);
  await dropPartialLine(timingsPath);
  const history = parseLines(
    (await readFileIfPresent(metricsPath)) ?? "",
    logRecordSchema,
    metricsPath,
  );

  return {
    resumed,
    history,
    async append(record) {
      await appendJsonLine(metricsPath, record);
      history.push(record);
    },
    appendTimings: (step, seconds) => appendJsonLine(timingsPath, { step, seconds }),
    async saveCheckpoint(checkpoint) {
      const line: Checkpoint = {
        version: 1,
        configHash,
        ...checkpoint,
        metricsBytes: await logLength(metricsPath),
      };
      checkpointLines += `${JSON.stringify(line)}\n`;
      await writeFileAtomic(checkpointsPath, checkpointLines);
    },
  };
}

function parseLines<T>(text: string, schema: z.ZodType<T>, path: string): T[] {
  if (text !== "" && !text.endsWith("\n"))
    throw new DataFormatError({
      source: path,
      path: "",
      problem: "the last line is cut off",
      fix: "restore the file, or start in a new folder",
    });
  return text
    .split("\n")
    .slice(0, -1)
    .map((line, index) => parseJson(line, schema, `${path}, line ${index + 1}`));
}
