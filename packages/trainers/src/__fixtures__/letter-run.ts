import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { StepRecord } from "../run-log.ts";
import type { TrainingOptions } from "../training-loop.ts";
import type { SoftmaxEngine } from "./softmax-engine.ts";
import type { LetterTask } from "./letter-environment.ts";

export const twoTasks = [
  { id: "one", letters: "b" },
  { id: "two", letters: "c" },
] as const;

/** A new folder that is there while `work` is. */
export async function inNewFolder<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "memory-r1-trainers-"));
  try {
    return await work(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

export const readMetrics = (directory: string): Promise<string> =>
  readFile(join(directory, "metrics.jsonl"), "utf8");

/** All saved states by path, in order of path. */
export function statesOf(storage: ReadonlyMap<string, string>): Record<string, string | undefined> {
  return Object.fromEntries(
    [...storage.keys()].toSorted().map((path) => [path, storage.get(path)]),
  );
}

export function stepsOf(history: readonly { readonly type: string }[]): StepRecord[] {
  return history.filter((record): record is StepRecord => record.type === "step");
}

/** What every algorithm is told on letters: the score is the mean probability of the right first letters. */
export function letterOptions(
  directory: string,
  engine: SoftmaxEngine,
  storage: Map<string, string>,
  tasks: readonly LetterTask[] = twoTasks,
): TrainingOptions {
  return {
    stage: "letters",
    runSeed: 7,
    fingerprint: "test",
    engine,
    directory,
    evaluate: async () => {
      const right = tasks.map((task) => engine.probability(task.id, task.letters.slice(0, 1)));
      const score = right.reduce((sum, one) => sum + one, 0) / tasks.length;
      return { score, healthy: true, metrics: {} };
    },
    removeCheckpoint: async (path) => {
      if (!storage.delete(path)) throw new Error(`${path} was removed twice or never written`);
    },
    clock: () => 0,
  };
}
