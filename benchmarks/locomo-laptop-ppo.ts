import { defineExperiment } from "@memory-r1/repro/experiment";
import { experiment as grpo } from "./locomo-laptop.ts";

const toPpo = (name: string): string => name.replace("grpo", "ppo");

/**
 * `locomo-laptop` with PPO for GRPO: the same stages, steps, samples and rates, and a critic that learns ten times as fast
 * as the policy, the proportion of the paper's rates. Ratios never leave 1 here (one update per step), so that the clip of
 * PPO never binds: what differs is where advantages come from.
 */
export const experiment = defineExperiment({
  ...grpo,
  name: "locomo-laptop-ppo",
  description: "Memory-R1 with SmolLM2-135M-Instruct on two CPU cores, trained by PPO",
  training: (grpo.training ?? []).map((stage) => ({ ...stage, algorithm: "ppo" as const })),
  evaluation: {
    ...grpo.evaluation,
    arms: grpo.evaluation.arms.map((arm) => ({ ...arm, name: toPpo(arm.name) })),
    comparisons: (grpo.evaluation.comparisons ?? []).map(([first, second]) => [
      toPpo(first),
      toPpo(second),
    ]),
  },
});
