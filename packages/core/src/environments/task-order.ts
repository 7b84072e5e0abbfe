import { createRandom, deriveSeed, shuffled } from "@memory-r1/spec";

/**
 * The tasks of a step out of an endless sequence of shuffled epochs: a pure function of (step, seed), so a resumed run
 * needs the step's number alone. Every task comes once before any comes twice.
 */
export function tasksOfStep<T>(
  tasks: readonly T[],
  options: { readonly step: number; readonly tasksPerStep: number; readonly seed: number },
): T[] {
  if (tasks.length === 0) return [];
  const picked: T[] = [];
  for (let offset = 0; offset < options.tasksPerStep; offset++) {
    const position = options.step * options.tasksPerStep + offset;
    const epoch = Math.floor(position / tasks.length);
    const order = shuffled(tasks, createRandom(deriveSeed(options.seed, "epoch", epoch)));
    const task = order[position % tasks.length];
    if (task !== undefined) picked.push(task);
  }
  return picked;
}
