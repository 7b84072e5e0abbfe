import { baselines } from "@memory-r1/baselines";
import type { ExperimentInput } from "./experiment.ts";

type ArmInput = ExperimentInput["evaluation"]["arms"][number];

/**
 * Systems that have no place in the usual `systems.contextTokens` of 2,048 beside a reply: windows of the Mem0 paper, and
 * the npm package mem0ai, whose own instructions take 8,525 tokens of SmolLM2.
 */
export const tooLarge = /^(rag-windows-(1024-k2|2048-|4096-|8192-)|mem0-npm$)/;

/**
 * An arm for every system that there is, each with the untrained model: the baselines of the registry but for those
 * whose name `leftOut` matches, and Memory-R1 with its grammar, without it (how much of a gain is form alone), and
 * keeping everything.
 */
export function systemArms(leftOut: RegExp = tooLarge): ArmInput[] {
  const ofRegistry = Object.keys(baselines)
    .filter((baseline) => !leftOut.test(baseline))
    .map((baseline) => ({
      name: baseline,
      system: baseline,
      variant: "untrained",
      memory: { kind: "baseline" as const, baseline },
      answer: "untrained" as const,
    }));
  const ofManagers = (
    [
      ["memory-r1-untrained", "untrained, constrained", "untrained"],
      ["memory-r1-unconstrained", "untrained, unconstrained", "untrained-unconstrained"],
      ["add-everything", "add everything", "add-everything"],
    ] as const
  ).map(([name, variant, manager]) => ({
    name,
    system: "memory-r1",
    variant,
    memory: { kind: "bank" as const, manager },
    answer: "untrained" as const,
  }));
  return [...ofRegistry, ...ofManagers];
}
