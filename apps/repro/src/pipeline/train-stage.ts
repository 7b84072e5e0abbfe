import { join, resolve } from "node:path";
import { writeFileAtomic } from "@memory-r1/report";
import { type Environment, type Episode, parseJson, type TextGenerator } from "@memory-r1/spec";
import {
  createCheckpointRemover,
  createCriticEngine,
  createPolicyEngine,
  readTraces,
  trainGrpo,
  type TrainingOptions,
  type TrainingProgress,
  type TrainingResult,
  trainPpo,
  trainSft,
  type Validation,
} from "@memory-r1/trainers";
import { z } from "zod";
import type { TrainingStage } from "../experiment.ts";
import type { ProgressTask } from "../run-context.ts";
import { buildStageConfig } from "../stage-config.ts";
import { jsonLines, readIfThere } from "./json-lines.ts";
import type { RunServices, TrainedAgent } from "./run-services.ts";

const trainedAgentSchema = z.strictObject({
  samplerPath: z.string(),
  bestStep: z.number(),
  bestScore: z.number(),
  healthy: z.boolean(),
});

const untrainedSchema = z.looseObject({
  type: z.literal("validation"),
  step: z.literal(0),
  metrics: z.record(z.string(), z.number()),
});

/** The validation before the first step, which later ones are measured against. */
export interface UntrainedValidation {
  readonly metrics: Readonly<Record<string, number>>;
}

/** What a stage trains on, and how its checkpoints are judged. */
export interface StagePlan<Task, E extends Episode> {
  readonly environment: Environment<Task, E>;
  readonly maxTokens: number;
  /** Weights of an earlier stage to go on from; absent: the base model. */
  readonly startFrom: TrainedAgent | undefined;
  evaluate(
    generator: TextGenerator,
    untrained: UntrainedValidation | undefined,
  ): Promise<Validation>;
}

/**
 * Runs one stage of training in `training/<stage>/` of the run's folder, or goes on with it, or reads what it came to
 * when it has ended already.
 */
export async function trainStage<Task, E extends Episode>(
  services: RunServices,
  stage: TrainingStage,
  plan: StagePlan<Task, E>,
): Promise<TrainedAgent> {
  const { experiment, context, engine } = services;
  const directory = join(services.runDirectory, "training", stage.name);
  const finishedFile = join(directory, "trained.json");
  const finished = await readIfThere(finishedFile);
  const isBase = (bestStep: number): boolean => plan.startFrom === undefined && bestStep === 0;
  if (finished !== undefined) {
    const trained = parseJson(finished, trainedAgentSchema, finishedFile);
    return { ...trained, isBase: isBase(trained.bestStep) };
  }
  const policy = await createPolicyEngine({
    client: engine.client,
    sessionId: engine.sessionId,
    baseModel: engine.baseModel,
    lora: { rank: experiment.lora.rank, alpha: experiment.lora.alpha, seed: experiment.seed },
    tokenizer: engine.tokenizer,
  });
  const progress = context.startProgress(
    `${stage.name}: ${stage.algorithm.toUpperCase()} steps`,
    stage.steps,
  );
  try {
    const result = await train(services, stage, plan, {
      stage: stage.name,
      runSeed: experiment.seed,
      fingerprint: services.fingerprint,
      engine: policy,
      directory,
      ...(plan.startFrom === undefined ? {} : { initialWeightsPath: plan.startFrom.samplerPath }),
      evaluate: async () => plan.evaluate(policy, await readUntrained(directory)),
      removeCheckpoint: createCheckpointRemover(engine.checkpointsDirectory),
      onProgress: progressReporter(progress),
      onWarning: (message) => context.logger.warn(`${stage.name}: ${message}`),
      signal: context.signal,
    });
    const trained = {
      samplerPath: result.bestPath,
      bestStep: result.bestStep,
      bestScore: result.bestScore,
      healthy: result.bestHealthy,
    };
    await writeFileAtomic(finishedFile, `${JSON.stringify(trained, null, 2)}\n`);
    context.logger.info(
      `${stage.name}: kept step ${trained.bestStep} of ${result.lastStep}, validation score ${trained.bestScore.toFixed(3)}` +
        (trained.healthy ? "" : " (no checkpoint was healthy)"),
    );
    return { ...trained, isBase: isBase(trained.bestStep) };
  } finally {
    progress.done();
  }
}

/** The stage's algorithm, with what it needs besides. */
async function train<Task, E extends Episode>(
  { engine, experiment, context }: RunServices,
  stage: TrainingStage,
  { environment, maxTokens }: StagePlan<Task, E>,
  options: TrainingOptions,
): Promise<TrainingResult> {
  const built = buildStageConfig(stage, maxTokens);
  switch (built.algorithm) {
    case "grpo":
      return trainGrpo({ ...options, config: built.config, environment });
    case "ppo":
      return trainPpo({
        ...options,
        config: built.config,
        environment,
        critic: await createCriticEngine({
          client: engine.client,
          sessionId: engine.sessionId,
          baseModel: engine.baseModel,
          lora: { rank: experiment.lora.rank, alpha: experiment.lora.alpha, seed: experiment.seed },
        }),
      });
    case "sft":
      return trainSft({
        ...options,
        config: built.config,
        environment,
        ...(stage.traces === undefined
          ? {}
          : { traces: await readTraces(resolve(context.repositoryRoot, stage.traces)) }),
      });
  }
}

async function readUntrained(directory: string): Promise<UntrainedValidation | undefined> {
  const [first] = await jsonLines(join(directory, "metrics.jsonl"), z.unknown()).read();
  const parsed = untrainedSchema.safeParse(first);
  return parsed.success ? parsed.data : undefined;
}

/** Shows steps done, those of an earlier sitting included, and what is going on. */
function progressReporter(progress: ProgressTask): (event: TrainingProgress) => void {
  let shown = 0;
  const advanceTo = (step: number): void => {
    if (step > shown) progress.advance(step - shown);
    shown = Math.max(shown, step);
  };
  return (event) => {
    switch (event.kind) {
      case "phase":
        advanceTo(event.step);
        progress.note(event.phase);
        return;
      case "record":
        if (event.record.type === "validation") {
          progress.note(`validation ${event.record.score.toFixed(3)}`);
        }
        return;
      case "step":
        advanceTo(event.step);
        return;
    }
  };
}
