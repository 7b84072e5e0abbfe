import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { HarnessError, parseJson } from "@memory-r1/spec";
import { z } from "zod";

const readySchema = z.strictObject({
  /** Of the token ids of all prompts: equal where two workers measure the same task. */
  promptsSha256: z.string(),
  threads: z.int(),
  trainableParameters: z.int(),
  versions: z.record(z.string(), z.string()),
});
/** What a worker says before it measures. */
export type WorkerFacts = z.infer<typeof readySchema>;

export const measurementSchema = z.strictObject({
  updateSeconds: z.number().positive(),
  /** With the sampling before the update; null where completions were given. */
  stepSeconds: z.number().positive().nullable(),
  updateProcessorSeconds: z.number().nonnegative(),
  stepProcessorSeconds: z.number().nonnegative().nullable(),
  tokensComputed: z.int().positive(),
  promptTokens: z.int(),
  completionTokens: z.int(),
  /** Before clipping. Above 0, because no group is without a spread of rewards. */
  gradientNorm: z.number().positive(),
  peakMemoryMib: z.number().positive(),
});
/** One GRPO step of one worker; measuring.py says what each number is. */
export type Measurement = z.infer<typeof measurementSchema>;

const flopsSchema = z.strictObject({ flops: z.int().positive() });

/** A running worker that waits between its steps. */
export interface Worker {
  readonly facts: WorkerFacts;
  /** Runs one step to its end. */
  readonly measure: () => Promise<Measurement>;
  /** Operations in the matrix products of one update; the engine's worker knows. */
  readonly countFlops: () => Promise<number>;
  /** Ends the process and waits for its end. */
  readonly stop: () => Promise<void>;
}

/**
 * Starts a worker and waits until it has loaded its model and run its warm-up.
 * @throws HarnessError with the worker's last words where it ends early.
 */
export async function startWorker(options: {
  readonly name: string;
  readonly command: string;
  readonly arguments: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  /** Ends the worker in the middle of a step. */
  readonly signal: AbortSignal;
}): Promise<Worker> {
  const { name, signal } = options;
  signal.throwIfAborted();
  const child = spawn(options.command, options.arguments, {
    env: options.environment,
    stdio: ["pipe", "pipe", "pipe"],
  });
  const kill = (): void => void child.kill("SIGKILL");
  signal.addEventListener("abort", kill, { once: true });
  const closed = once(child, "close");
  // Who reads the next line learns of the end; nobody else has to.
  closed.catch(() => undefined);
  // A worker that has ended does not take the next line: its missing answer says so.
  child.stdin.on("error", () => undefined);
  let lastWords = "";
  child.stderr.on("data", (chunk: Buffer) => {
    lastWords = (lastWords + chunk.toString("utf8")).slice(-4000);
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();

  const read = async <T>(schema: z.ZodType<T>): Promise<T> => {
    const line = await lines.next();
    if (line.done === true) {
      await closed;
      signal.throwIfAborted();
      throw new HarnessError(
        "benchmark",
        `${name} ended before its measurement (${describeEnd(child)}). Its last words:\n${lastWords.trim()}`,
      );
    }
    return parseJson(line.value, schema, `output of ${name}`);
  };
  const facts = await read(readySchema);
  return {
    facts,
    measure: () => {
      child.stdin.write("measure\n");
      return read(measurementSchema);
    },
    countFlops: async () => {
      child.stdin.write("flops\n");
      return (await read(flopsSchema)).flops;
    },
    stop: async () => {
      child.stdin.end();
      await closed;
      signal.removeEventListener("abort", kill);
    },
  };
}

function describeEnd({ exitCode, signalCode }: ChildProcess): string {
  if (signalCode === null) return `exit code ${String(exitCode)}`;
  // The system's answer to a process that needs more memory than there is.
  return signalCode === "SIGKILL" ? "SIGKILL: out of memory?" : signalCode;
}
