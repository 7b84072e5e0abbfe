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
import { ConfigError, parseValue, type Environment, type Episode } from "@memory-r1/spec";
import { computeAdvantages } from "./advantages.ts";
import { grpoConfigSchema, type GrpoConfig, type GrpoConfigInput } from "./grpo-config.ts";
import { rollOut } from "./rollout.ts";
import { toStepRecord } from "./step-record.ts";
import { runTrainingLoop, type TrainingOptions, type TrainingResult } from "./training-loop.ts";
import { updatePolicy } from "./update.ts";

export interface GrpoOptions<Task, E extends Episode> extends TrainingOptions {
  readonly config: GrpoConfigInput;
  readonly environment: Environment<Task, E>;
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
): Promise<TrainingResult> {
  const { engine, environment, stage, runSeed, signal } = options;
  const config = parseConfig(options.config);
  const { samplesPerTask, maxCompletionTokens } = config;
  return runTrainingLoop(options, {
    config,
    configHash: hashConfiguration(config, options),
    observe: (validation) => environment.observe?.(validation),
    async takeStep(step, timer) {
      const rollout = await rollOut(
        { environment, engine, stage, runSeed, samplesPerTask, maxCompletionTokens, signal },
        step,
        timer,
      );
      signal?.throwIfAborted();
      const advantages = computeAdvantages(rollout.groupRewards, config.advantages);
      const update = await updatePolicy(
        { engine, config, stage, runSeed },
        step,
        rollout.samples,
        advantages,
        timer,
      );
      return toStepRecord(step, config, rollout, advantages, update);
    },
  });
}

function parseConfig(input: GrpoConfigInput): GrpoConfig {
  const config = parseValue(input, grpoConfigSchema, "the GRPO configuration");
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
