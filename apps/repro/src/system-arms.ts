import { baselines } from "@memory-r1/baselines";
import type { ExperimentInput } from "./experiment.ts";

type ArmInput = ExperimentInput["evaluation"]["arms"][number];

/**
 * An arm for every system that there is, each with the untrained model: the baselines of the registry, whichever they
 * are, and Memory-R1 with its grammar, without it (how much of a gain is form alone), and keeping everything.
 */
export function systemArms(): ArmInput[] {
  const ofRegistry = Object.keys(baselines).map((baseline) => ({
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
