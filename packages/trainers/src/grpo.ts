/*
 * Group Relative Policy Optimization (DeepSeekMath, arXiv 2402.03300; Memory-R1, arXiv 2508.19828, section 3),
 * for episodes of one decision (the Answer Agent) or several (a Memory Manager's facts in turn).
 *
 * Where this departs from the paper, or decides what the paper leaves open:
 *  1. On-policy by default: one optimiser step per batch of samples, so every ratio is 1 and no clip ever binds.
 *     `loss: ppo` with `epochs` or `minibatches` above 1 is the paper's clipped objective.
 *  2. No KL to the reference policy by default. `loss.kl` is the paper's term in the loss; `klCoefficient` is a k1 penalty
 *     in the advantage.
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
import { deriveSeed, parseValue, type Environment, type Episode } from "@memory-r1/spec";
import { computeAdvantages, computeMean, type GroupAdvantages } from "./advantages.ts";
import { hashConfiguration } from "./configuration-hash.ts";
import { grpoConfigSchema, type GrpoConfig, type GrpoConfigInput } from "./grpo-config.ts";
import { computeKlAdvantages, computeKls } from "./kl.ts";
import { computeLearningRate } from "./learning-rate.ts";
import type { PolicyEngine } from "./policy-engine.ts";
import type { PolicyLoss } from "./policy-loss.ts";
import { rollOut, type Sample } from "./rollout.ts";
import {
  describeLogProbGap,
  describePolicySteps,
  describeRollout,
  describeRange,
} from "./step-record.ts";
import { runTrainingLoop, type TrainingOptions, type TrainingResult } from "./training-loop.ts";
import { assertReusable, hasAdvantage, updatePolicy, type WeightedDecision } from "./update.ts";

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
  const { loss, logProbGapLimit } = config;
  return runTrainingLoop(options, {
    config,
    configHash: hashConfiguration("grpo", config, { ...options, data: environment.name }),
    observe: (validation) => environment.observe?.(validation),
    async takeStep(step, timer) {
      const rollout = await rollOut(
        { environment, engine, stage, runSeed, config, signal },
        step,
        timer,
      );
      signal?.throwIfAborted();
      const groups = computeAdvantages(rollout.groupRewards, config.advantages);
      const { decisions, kl } = await timer.measure("train", () =>
        compareWithReference(engine, weighDecisions(rollout.samples, groups), config),
      );
      const learningRate = computeLearningRate(step, config.learningRate);
      const steps = await updatePolicy(
        engine,
        loss,
        {
          ...config,
          learningRate,
          seedOf: (epoch) => deriveSeed(runSeed, stage, step, "minibatches", epoch),
        },
        step,
        decisions,
        timer,
      );
      const update = describePolicySteps(steps, loss, { step, logProbGapLimit });
      const warning = describeLogProbGap(update, step, logProbGapLimit);
      if (warning !== undefined) options.onWarning?.(warning);
      return {
        type: "step",
        step,
        learningRate,
        ...describeRollout(rollout, groups, decisions.filter(hasAdvantage).length),
        ...(decisions.length === 0
          ? {}
          : { advantages: describeRange(decisions.flatMap((decision) => decision.advantages)) }),
        update: update === null ? null : { ...update, ...(kl === undefined ? {} : { kl }) },
      };
    },
  });
}

/** The decisions of scored samples, each with its episode's advantage at every token. */
function weighDecisions(
  samples: readonly Sample<unknown>[],
  groups: readonly GroupAdvantages[],
): readonly WeightedDecision[] {
  return samples.flatMap((sample) => {
    const own = groups[sample.group]?.samples[sample.index];
    if (own?.scored !== true) return [];
    return sample.decisions
      .filter((decision) => decision.completionTokens.length > 0)
      .map((decision) => ({
        group: sample.group,
        decision,
        advantages: decision.completionTokens.map(() => own.advantage),
      }));
  });
}

/** Takes a penalty for drifting from the reference policy into the advantages, or hands on what a KL loss needs. */
async function compareWithReference(
  engine: PolicyEngine,
  decisions: readonly WeightedDecision[],
  { klCoefficient, loss }: { readonly klCoefficient: number; readonly loss: PolicyLoss },
): Promise<{ readonly decisions: readonly WeightedDecision[]; readonly kl: number | undefined }> {
  const lossKl = loss.kl !== undefined && loss.kl.coefficient !== 0 ? loss.kl : undefined;
  if ((klCoefficient === 0 && lossKl === undefined) || decisions.length === 0)
    return { decisions, kl: undefined };
  const sampled = decisions.map(({ decision }) => decision.logProbs);
  const reference = await engine.referenceLogProbs(decisions.map(({ decision }) => decision));
  const penalty = computeKlAdvantages(sampled, reference, klCoefficient);
  return {
    kl:
      lossKl === undefined
        ? penalty.meanKl
        : computeMean(computeKls(sampled, reference, lossKl).flat()),
    decisions: decisions.map((weighted, index) => ({
      ...weighted,
      advantages:
        klCoefficient === 0
          ? weighted.advantages
          : weighted.advantages.map(
              (advantage, token) => advantage + (penalty.advantages[index]?.[token] ?? 0),
            ),
      ...(lossKl === undefined ? {} : { referenceLogProbs: reference[index] ?? [] }),
    })),
  };
}

function parseConfig(input: GrpoConfigInput): GrpoConfig {
  const config = parseValue(input, grpoConfigSchema, "the GRPO configuration");
  assertReusable(config);
  return config;
}
