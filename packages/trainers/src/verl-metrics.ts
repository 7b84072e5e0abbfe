import type { StepRecord } from "./run-log.ts";

/** A metric that verl logs, the field of our records that holds it, and how the two differ. */
export interface VerlMetric {
  readonly name: string;
  /** Path in a line of `metrics.jsonl`, or of `timings.jsonl` where it begins with `seconds.`; absent: not recorded. */
  readonly field?: string;
  readonly note?: string;
}

const spread = (name: string, field: string, note?: string): readonly VerlMetric[] =>
  ["mean", "max", "min"].map((part) => ({
    name: `${name}/${part}`,
    field: `${field}.${part}`,
    ...(note === undefined ? {} : { note }),
  }));

const nonAborted = "a sample without tokens is counted in samples.masked, and in no length";

/**
 * Every name that verl logs for actor, critic, lengths and times, with the two that it lacks, and what we record for it.
 * Source: verl@b178a3cd5 trainer/ppo/metric_utils.py, workers/actor/dp_actor.py, workers/critic/dp_critic.py,
 * trainer/ppo/ray_trainer.py, trainer/ppo/core_algos.py.
 */
export const verlMetrics: readonly VerlMetric[] = [
  ...spread("critic/score", "reward"),
  ...spread("critic/rewards", "reward", "absent where a KL penalty is in the rewards"),
  { name: "reward/std", field: "reward.deviation", note: "not in verl; the population's" },
  { name: "frac_zero_std", field: "groups.zeroVarianceShare", note: "not in verl" },
  ...spread("critic/advantages", "advantages"),
  ...spread("critic/returns", "critic.returns", "verl repeats the advantages for GRPO"),
  ...spread("critic/values", "critic.values"),
  { name: "critic/vf_explained_var", field: "critic.explainedVariance" },
  { name: "critic/vf_loss", field: "critic.loss", note: "over all tokens, not by micro-batch" },
  { name: "critic/vf_clipfrac", field: "critic.clipFraction" },
  { name: "critic/vpred_mean", field: "critic.values.mean", note: "before the step's updates" },
  { name: "critic/grad_norm", field: "critic.gradientNorm" },
  { name: "critic/lr", field: "critic.learningRate" },
  {
    name: "actor/pg_loss",
    field: "update.policyLoss",
    note: "update.loss where the loss has no other term",
  },
  { name: "actor/pg_clipfrac", field: "update.clipFraction" },
  { name: "actor/pg_clipfrac_lower", field: "update.dualClipFraction" },
  {
    name: "actor/ppo_kl",
    field: "update.policyKl",
    note: "update.logProbDifference.k1 where there was one update",
  },
  {
    name: "actor/kl_loss",
    field: "update.kl",
    note: "mean over tokens, before the update; where it is in the loss or the advantages",
  },
  { name: "actor/kl_coef", note: "a constant of the configuration" },
  { name: "actor/reward_kl_penalty", field: "update.kl", note: "where it is in the rewards (PPO)" },
  { name: "actor/reward_kl_penalty_coeff", field: "update.klCoefficient" },
  {
    name: "actor/entropy",
    field: "update.entropy",
    note: "of trained tokens, after a grammar's mask",
  },
  { name: "actor/grad_norm", field: "update.gradientNorm" },
  { name: "actor/lr", field: "learningRate" },
  { name: "training/global_step", field: "step", note: "verl counts from 1" },
  { name: "training/epoch", note: "tasks are drawn by step, not by pass over the data" },
  {
    name: "training/rollout_probs_diff_mean",
    note: "see update.logProbDifference, in nats instead of probabilities",
  },
  { name: "training/rollout_probs_diff_max", note: "see update.logProbDifference" },
  { name: "training/rollout_probs_diff_std", note: "see update.logProbDifference" },
  { name: "response_length/mean", field: "completions.meanTokens", note: "of completions" },
  { name: "response_length/max", field: "completions.maxTokens" },
  { name: "response_length/min", field: "completions.minTokens" },
  { name: "response_length/clip_ratio", field: "completions.cutShare" },
  { name: "response_length_non_aborted/mean", field: "completions.meanTokens", note: nonAborted },
  { name: "response_length_non_aborted/max", field: "completions.maxTokens", note: nonAborted },
  { name: "response_length_non_aborted/min", field: "completions.minTokens", note: nonAborted },
  {
    name: "response_length_non_aborted/clip_ratio",
    field: "completions.cutShare",
    note: nonAborted,
  },
  {
    name: "response/aborted_ratio",
    note: "samples.masked of samples.count, unscorable ones included",
  },
  ...spread("prompt_length", "promptTokens", "of the prompts of all completions"),
  { name: "prompt_length/clip_ratio", note: "prompts are never cut" },
  { name: "num_turns/mean", note: "samples.decisions of samples.count, in completions" },
  { name: "num_turns/min", note: "not recorded" },
  { name: "num_turns/max", note: "not recorded" },
  { name: "perf/total_num_tokens", field: "update.tokensUnpacked", note: "of trained sequences" },
  { name: "timing_s/gen", field: "seconds.sample" },
  { name: "timing_s/reward", field: "seconds.reward" },
  { name: "timing_s/values", note: "in seconds.critic" },
  { name: "timing_s/adv", note: "in seconds.train" },
  { name: "timing_s/ref", note: "in seconds.train" },
  { name: "timing_s/old_log_prob", note: "none: the sampler's are the old log-probabilities" },
  {
    name: "timing_s/update_actor",
    field: "seconds.train",
    note: "with the reference policy's pass",
  },
  { name: "timing_s/update_critic", field: "seconds.critic", note: "with the values' pass" },
  { name: "timing_s/testing", field: "seconds.validate" },
  { name: "timing_s/save_checkpoint", field: "seconds.checkpoint" },
  { name: "timing_s/step", note: "the sum of seconds" },
];

/**
 * A step's record under verl's names, for plots beside verl's. What is not recorded, or is not of this algorithm, is absent.
 * `seconds` is the step's line of `timings.jsonl`.
 */
export function toVerlMetrics(
  record: StepRecord,
  seconds: Readonly<Record<string, number>> = {},
): Readonly<Record<string, number>> {
  const { update } = record;
  const rewardPenalty = update?.klCoefficient !== undefined;
  const filled = {
    ...record,
    step: record.step + 1,
    seconds,
    update:
      update === null
        ? undefined
        : {
            ...update,
            policyLoss: update.policyLoss ?? update.loss,
            policyKl: update.policyKl ?? update.logProbDifference?.k1,
          },
  };
  const metrics: Record<string, number> = {};
  for (const { name, field } of verlMetrics) {
    // The same field means another metric of verl's where the divergence is in the rewards.
    const otherPlace = rewardPenalty
      ? name === "actor/kl_loss" || name.startsWith("critic/rewards/")
      : name === "actor/reward_kl_penalty";
    const value = field === undefined || otherPlace ? undefined : readNumber(filled, field);
    if (value !== undefined) metrics[name] = value;
  }
  const spent = Object.values(seconds);
  if (spent.length > 0) metrics["timing_s/step"] = spent.reduce((sum, one) => sum + one, 0);
  return metrics;
}

function readNumber(record: object, path: string): number | undefined {
  let node: unknown = record;
  for (const key of path.split("."))
    node =
      typeof node === "object" && node !== null
        ? Object.entries(node).find(([name]) => name === key)?.[1]
        : undefined;
  return typeof node === "number" ? node : undefined;
}
