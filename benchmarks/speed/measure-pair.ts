import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import type { PreparedEngine } from "@memory-r1/engine";
import { HarnessError } from "@memory-r1/spec";
import { z } from "zod";
import { preparePeerEnvironment } from "../common/peer-environment.ts";
import { chooseTrlPass, formatShape, type Shape } from "./shapes.ts";
import { measurementSchema, startWorker, type Worker, type WorkerFacts } from "./worker-process.ts";

export const modes = ["update", "step"] as const;
export const dtypes = ["float32", "bfloat16"] as const;

/** What is measured: `update` on completions that are given, `step` with the sampling before it. */
export const taskSchema = z.strictObject({
  mode: z.enum(modes),
  shape: z.strictObject({
    promptTokens: z.int().positive(),
    completionTokens: z.int().positive(),
    groupSize: z.int().min(2),
  }),
  dtype: z.enum(dtypes),
});
export type Task = z.infer<typeof taskSchema>;

export function formatTask({ mode, shape, dtype }: Task): string {
  return `${mode} ${formatShape(shape)} ${dtype}`;
}

/** One measured step with what it was measured of. */
export const observationSchema = taskSchema.extend({
  engine: z.string(),
  /** Completions that the update takes at once. */
  completionsPerPass: z.int().positive(),
  /** From 1. */
  repetition: z.int().positive(),
  measurement: measurementSchema,
});
export type Observation = z.infer<typeof observationSchema>;

/** The names of the two that are compared: results are told apart by them. */
export const engineNames = { ours: "Memory-R1", peer: "TRL 1.16.0" } as const;

/** An engine under test: how its worker is started. */
interface Engine {
  readonly name: string;
  readonly python: string;
  readonly script: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Completions of a shape that the update takes at once. */
  readonly completionsPerPass: (shape: Shape) => number;
}

/** Engines, model and settings that every measurement of a run shares. */
export interface Bench {
  /** Ours first: its worker writes the adapter that the other reads. */
  readonly engines: readonly Engine[];
  readonly modelDirectory: string;
  /** The model's weights are random: it does not end a turn before the limit. */
  readonly randomWeights: boolean;
  readonly device: string;
  readonly threads: number;
  readonly seed: number;
  readonly say: (line: string) => void;
  /** Ends a measurement in the middle. */
  readonly signal: AbortSignal;
}

/** The engine and TRL, which is installed where it is missing. @throws ConfigError where pip fails */
export async function prepareEngines(options: {
  readonly prepared: Pick<
    PreparedEngine,
    "cacheDirectory" | "engineDirectory" | "python" | "pythonVersion"
  >;
  readonly sourceDirectory: string;
  /** Completions that TRL's update takes at once; undefined: as many as memory should hold. */
  readonly trlPass: number | undefined;
  readonly say: (line: string) => void;
}): Promise<readonly Engine[]> {
  const { prepared, sourceDirectory, trlPass } = options;
  const python = await preparePeerEnvironment({
    name: "trl",
    requirements: join(sourceDirectory, "requirements-trl.txt"),
    cacheDirectory: prepared.cacheDirectory,
    python: prepared.python,
    pythonVersion: prepared.pythonVersion,
    write: options.say,
  });
  return [
    {
      name: engineNames.ours,
      python: prepared.python,
      script: join(sourceDirectory, "ours.py"),
      environment: { PYTHONPATH: join(prepared.engineDirectory, "src") },
      completionsPerPass: (shape) => shape.groupSize,
    },
    {
      name: engineNames.peer,
      python,
      script: join(sourceDirectory, "trl_peer.py"),
      environment: {},
      completionsPerPass: (shape) => trlPass ?? chooseTrlPass(shape, totalmem() / 2 ** 20),
    },
  ];
}

/** Variables of a worker: the same for both engines. */
export function workerEnvironment(
  threads: number,
  own: Readonly<Record<string, string>> = {},
): NodeJS.ProcessEnv {
  return {
    ...process.env,
    OMP_NUM_THREADS: String(threads),
    MKL_NUM_THREADS: String(threads),
    // What the engine sets for itself: how long threads wait awake. TRL gets it too.
    GOMP_SPINCOUNT: "10000",
    HF_HUB_OFFLINE: "1",
    PYTHONUTF8: "1",
    // No bytecode beside the sources.
    PYTHONDONTWRITEBYTECODE: "1",
    ...own,
  };
}

function startEngine(
  bench: Bench,
  engine: Engine,
  { mode, shape, dtype }: Task,
  steps: readonly number[],
  adapter: string,
): Promise<Worker> {
  const flags = {
    model: bench.modelDirectory,
    mode,
    dtype,
    device: bench.device,
    threads: bench.threads,
    seed: bench.seed,
    "group-size": shape.groupSize,
    "prompt-tokens": shape.promptTokens,
    "completion-tokens": shape.completionTokens,
    "completions-per-pass": engine.completionsPerPass(shape),
    adapter,
  };
  return startWorker({
    name: engine.name,
    command: engine.python,
    arguments: [
      engine.script,
      ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)]),
      "--steps",
      ...steps.map(String),
      ...(bench.randomWeights ? ["--random-weights"] : []),
    ],
    environment: workerEnvironment(bench.threads, engine.environment),
    signal: bench.signal,
  });
}

/**
 * The repetitions of one task: both engines loaded, one at a time computing, in turns. Each step is handed to `keep` as
 * soon as it is measured.
 * @param options.repetitions numbers from 1; a number decides prompt, completions and rewards.
 * @param options.countFlops whether to count the operations of the engine's update, after the last step.
 * @throws HarnessError where the engines do not compute the same; the signal's reason when aborted.
 */
export async function measurePair(
  bench: Bench,
  task: Task,
  options: {
    readonly repetitions: readonly number[];
    readonly countFlops: boolean;
    readonly keep: (observation: Observation) => Promise<void>;
  },
): Promise<{ facts: ReadonlyMap<string, WorkerFacts>; flops: number | undefined }> {
  const { repetitions } = options;
  const where = formatTask(task);
  const directory = await mkdtemp(join(tmpdir(), "memory-r1-speed-"));
  const workers: { engine: Engine; worker: Worker }[] = [];
  try {
    for (const engine of bench.engines) {
      bench.say(`${where}: loading and warming up ${engine.name}`);
      const adapter = join(directory, "adapter");
      const worker = await startEngine(bench, engine, task, repetitions, adapter);
      workers.push({ engine, worker });
    }
    const facts = new Map(workers.map(({ engine, worker }) => [engine.name, worker.facts]));
    checkSameTask([...facts.values()], bench.threads);
    for (const repetition of repetitions) {
      const observations: Observation[] = [];
      for (const { engine, worker } of workers) {
        const measurement = await worker.measure();
        checkShape(engine.name, task.shape, measurement);
        observations.push({
          ...task,
          engine: engine.name,
          completionsPerPass: engine.completionsPerPass(task.shape),
          repetition,
          measurement,
        });
        const { updateSeconds, stepSeconds, peakMemoryMib } = measurement;
        bench.say(
          `${where}: ${engine.name}, repetition ${repetition}: update ${updateSeconds.toFixed(2)} s, ` +
            `${stepSeconds === null ? "" : `whole step ${stepSeconds.toFixed(2)} s, `}` +
            `peak ${peakMemoryMib.toFixed(0)} MiB`,
        );
      }
      if (task.mode === "update") checkSameGradient(where, task, observations);
      for (const observation of observations) await options.keep(observation);
    }
    const flops = options.countFlops ? await workers[0]?.worker.countFlops() : undefined;
    return { facts, flops };
  } finally {
    await Promise.all(workers.map(({ worker }) => worker.stop()));
    await rm(directory, { recursive: true, force: true });
  }
}

/** What both engines compute must be the same, or the numbers say nothing. @throws HarnessError */
function checkSameTask(facts: readonly WorkerFacts[], threads: number): void {
  const differing = (["promptsSha256", "trainableParameters", "threads"] as const).filter(
    (key) => new Set(facts.map((fact) => fact[key])).size > 1,
  );
  if (differing.length > 0 || facts.some((fact) => fact.threads !== threads)) {
    throw new HarnessError(
      "benchmark",
      `the engines do not measure the same (${differing.join(", ") || "threads"}): ${JSON.stringify(facts)}`,
    );
  }
}

/** @throws HarnessError where a completion ended early or a prompt was cut. */
function checkShape(
  name: string,
  shape: Shape,
  found: { readonly promptTokens: number; readonly completionTokens: number },
): void {
  const expected = shape.groupSize * shape.completionTokens;
  if (found.promptTokens !== shape.promptTokens || found.completionTokens !== expected) {
    throw new HarnessError(
      "benchmark",
      `${name} computed ${found.promptTokens} prompt tokens and ${found.completionTokens} completion tokens, ` +
        `expected ${shape.promptTokens} and ${expected}: try another --seed.`,
    );
  }
}

/** How far the norms of one gradient may lie apart: rounding in float32, different mixed precision in bfloat16. */
const gradientTolerance = { float32: 0.002, bfloat16: 0.1 } as const;

/** Same weights, same completions, same rewards: same gradient. @throws HarnessError where its norms differ */
function checkSameGradient(
  where: string,
  { dtype }: Task,
  observations: readonly Observation[],
): void {
  const norms = observations.map(({ measurement }) => measurement.gradientNorm);
  if (Math.max(...norms) > Math.min(...norms) * (1 + gradientTolerance[dtype])) {
    throw new HarnessError(
      "benchmark",
      `${where}: the engines computed different gradients, of norm ${norms.join(" and ")}`,
    );
  }
}
