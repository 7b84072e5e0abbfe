import { ConfigError, parseValue } from "@memory-r1/spec";
import {
  type GrpoConfig,
  grpoConfigSchema,
  type PpoConfig,
  ppoConfigSchema,
  resolvePreset,
  type SftConfig,
  sftConfigSchema,
} from "@memory-r1/trainers";
import { z } from "zod";
import type { TrainingStage } from "./experiment.ts";

/** The configuration of a stage's trainer. */
export type StageConfig =
  | { readonly algorithm: "grpo"; readonly config: GrpoConfig }
  | { readonly algorithm: "ppo"; readonly config: PpoConfig }
  | { readonly algorithm: "sft"; readonly config: SftConfig };

const settingsSchema = z.record(z.string(), z.unknown());
type Settings = Readonly<Record<string, unknown>>;

/** How much faster the critic learns than the policy where nothing says it: 1e-5 to 1e-6 in the paper. */
const criticLearningRateFactor = 10;

/**
 * What a stage's trainer is told: its preset, under the stage's own fields, under its `settings`.
 * `maxTokens` bounds completions that are sampled.
 * @throws ConfigError naming what the algorithm does not have
 */
export function buildStageConfig(stage: TrainingStage, maxTokens: number): StageConfig {
  const where = `stage "${stage.name}"`;
  const { algorithm } = stage;
  const config = (own: Settings): Settings =>
    overlay(overlay(presetSettings(stage), own), stage.settings);
  const { aggregation, ...common } = commonSettings(stage, maxTokens);
  const sampling = { samplesPerTask: stage.samplesPerTask, maxCompletionTokens: maxTokens };
  switch (algorithm) {
    case "grpo":
      return {
        algorithm,
        config: parseValue(
          config({
            ...common,
            ...sampling,
            aggregation,
            advantages: { scale: stage.advantageScale },
            klCoefficient: stage.klCoefficient,
          }),
          grpoConfigSchema,
          where,
        ),
      };
    case "ppo":
      refuse(where, algorithm, { advantageScale: stage.advantageScale !== "group" });
      return {
        algorithm,
        config: parseValue(
          config({
            ...common,
            ...sampling,
            aggregation,
            kl: { coefficient: stage.klCoefficient },
            ...criticRate(stage),
          }),
          ppoConfigSchema,
          where,
        ),
      };
    case "sft":
      refuse(where, algorithm, {
        advantageScale: stage.advantageScale !== "group",
        klCoefficient: stage.klCoefficient !== 0,
        preset: stage.preset !== undefined,
      });
      return {
        algorithm,
        config: parseValue(
          config({
            ...common,
            aggregation,
            data:
              stage.traces === undefined
                ? { kind: "rollouts", ...sampling }
                : { kind: "traces", batchSize: stage.tasksPerStep },
          }),
          sftConfigSchema,
          where,
        ),
      };
  }
}

function commonSettings(stage: TrainingStage, maxTokens: number) {
  return {
    steps: stage.steps,
    aggregation:
      stage.lossAggregation === "sequence-mean-token-sum-norm"
        ? { kind: stage.lossAggregation, length: maxTokens }
        : { kind: stage.lossAggregation },
    learningRate: { peak: stage.learningRate, warmUpSteps: stage.warmupSteps },
    adam: { clipNorm: stage.maxGradientNorm },
    validateEvery: stage.validateEvery,
    checkpointEvery: stage.checkpointEvery,
  };
}

function criticRate({ criticLearningRate, learningRate, warmupSteps }: TrainingStage) {
  const peak = criticLearningRate ?? learningRate * criticLearningRateFactor;
  return { criticLearningRate: { peak, warmUpSteps: warmupSteps } };
}

function refuse(where: string, algorithm: string, given: Readonly<Record<string, boolean>>): void {
  const wrong = Object.entries(given).find(([, isGiven]) => isGiven);
  if (wrong !== undefined)
    throw new ConfigError(`${where}: ${algorithm} has no ${wrong[0]}. Leave it out.`);
}

function presetSettings({ preset, algorithm }: TrainingStage): Settings {
  if (preset === undefined || algorithm === "sft") return {};
  return settingsSchema.parse(resolvePreset(preset)[algorithm]);
}

/** An object of settings laid over another; a choice of another `kind` replaces the whole of what it chooses from. */
function overlay(below: Settings, above: Settings): Settings {
  const merged: Record<string, unknown> = { ...below };
  for (const [name, value] of Object.entries(above)) {
    const old = settingsSchema.safeParse(merged[name]);
    const own = settingsSchema.safeParse(value);
    const isOtherKind =
      old.success &&
      own.success &&
      own.data["kind"] !== undefined &&
      own.data["kind"] !== old.data["kind"];
    merged[name] = old.success && own.success && !isOtherKind ? overlay(old.data, own.data) : value;
  }
  return merged;
}

const presetStageSchema = z.looseObject({
  preset: z.string(),
  algorithm: z.enum(["grpo", "ppo"]).default("grpo"),
  learningRate: z.number().optional(),
});

/**
 * A stage as an experiment writes it, with what its preset says of fields that it leaves out, so that a run's
 * configuration says what was used. The critic's rate stays in the preset's proportion to the policy's.
 * @throws ConfigError for an unknown preset
 */
export function fillFromPreset(stage: unknown): unknown {
  const parsed = presetStageSchema.safeParse(stage);
  if (!parsed.success) return stage;
  const { algorithm, learningRate: ownRate } = parsed.data;
  const preset = resolvePreset(parsed.data.preset);
  const config =
    algorithm === "ppo"
      ? ppoConfigSchema.parse({ ...settingsSchema.parse(preset.ppo), steps: 1 })
      : grpoConfigSchema.parse({ ...preset.grpo, steps: 1 });
  const rate = config.learningRate.peak;
  return {
    tasksPerStep: preset.tasksPerStep,
    samplesPerTask: config.samplesPerTask,
    learningRate: rate,
    warmupSteps: config.learningRate.warmUpSteps,
    maxGradientNorm: config.adam.clipNorm,
    lossAggregation: config.aggregation.kind,
    ...("criticLearningRate" in config
      ? {
          criticLearningRate: (config.criticLearningRate.peak / rate) * (ownRate ?? rate),
          klCoefficient: config.kl.coefficient,
        }
      : { klCoefficient: config.klCoefficient, advantageScale: config.advantages.scale }),
    ...parsed.data,
  };
}
