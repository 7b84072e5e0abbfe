import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { ConfigError, DataFormatError, EngineLostError, parseJson } from "@memory-r1/spec";
import { z } from "zod";
import { createEngineClient, type EngineClient } from "./client.ts";
import { prepareEngine, type PrepareOptions, type PreparedEngine } from "./prepare.ts";
import { engineVariables, type ResolvedModel } from "./resolve-model.ts";

export interface LaunchOptions extends PrepareOptions {
  /** What an earlier {@link prepareEngine} returned; without it, one is made. */
  readonly prepared?: PreparedEngine | undefined;
  /** The folder where `saveWeights` writes. */
  readonly checkpointsDirectory: string;
  /** Takes the engine's standard error, from the start. */
  readonly logFile: string;
  /** Of the frozen weights; adapters are float32 always. Default `float32`. */
  readonly dtype?: "float32" | "bfloat16" | "float64" | undefined;
  /** `cpu` (default), `cuda`, `cuda:1`. */
  readonly device?: string | undefined;
  /** CPU threads; default: torch's own choice. */
  readonly threads?: number | undefined;
  /** Distinct tokens of one forward and backward pass; default: the engine's 4096. */
  readonly microBatchTokens?: number | undefined;
  /** GiB that a pass may need beside the weights, as the engine estimates it; default: no bound. */
  readonly trainingMemoryGib?: number | undefined;
  /** Layers computed again in the backward pass; default `auto`: where they would not fit otherwise. */
  readonly gradientCheckpointing?: "auto" | "on" | "off" | undefined;
  /** From start to ready; default 180 s (a large model is read from disk). */
  readonly readyTimeoutMs?: number | undefined;
  /** From the request to end to the hard kill; default 10 s. */
  readonly stopTimeoutMs?: number | undefined;
}

/** A running engine. */
export interface RunningEngine {
  readonly client: EngineClient;
  /** `http://127.0.0.1:<port>`; the routes of standard clients lie under it (`/v1/chat/completions`, `/embed`, `/rerank`). */
  readonly baseUrl: string;
  /** Valid for this launch only. */
  readonly token: string;
  readonly pid: number;
  readonly model: ResolvedModel;
  readonly embedding: ResolvedModel;
  /** Absent where none was asked for; else `/rerank` asks it. */
  readonly reranker?: ResolvedModel | undefined;
  readonly logFile: string;
  /** Ends the process and waits until it is gone. May be called again. */
  stop(): Promise<void>;
  /** Resolves when the process ends without `stop`; calls in flight reject with the same error. Never rejects. */
  readonly lost: Promise<EngineLostError>;
}

const readyLineSchema = z.object({
  event: z.literal("ready"),
  port: z.number().int().positive(),
  pid: z.number().int().positive(),
});

const tailLength = 20;

/** The last lines of a log, for an error message. */
export async function logTail(logFile: string): Promise<string> {
  const text = await readFile(logFile, "utf8");
  return text.trim().split("\n").slice(-tailLength).join("\n");
}

function describeEnd(child: ChildProcess): string {
  return child.signalCode === null
    ? `exit code ${String(child.exitCode)}`
    : `signal ${child.signalCode}`;
}

const hasEnded = (child: ChildProcess): boolean =>
  child.exitCode !== null || child.signalCode !== null;

function readyLineOf(line: string): z.infer<typeof readyLineSchema> | undefined {
  try {
    return parseJson(line, readyLineSchema, "standard output of the engine");
  } catch (error) {
    // A library may print something before the engine is ready.
    if (error instanceof DataFormatError) return undefined;
    throw error;
  }
}

/** Waits for the ready line. Undefined: standard output ended without one. */
async function readReadyLine(
  child: ChildProcess,
): Promise<z.infer<typeof readyLineSchema> | undefined> {
  if (child.stdout === null) return undefined;
  const lines = createInterface({ input: child.stdout });
  try {
    for await (const line of lines) {
      const ready = readyLineOf(line);
      if (ready !== undefined) return ready;
    }
    return undefined;
  } finally {
    lines.close();
    // An unread pipe would block whoever writes into it.
    child.stdout.resume();
  }
}

/** `--name value` for each value that is there. */
export function toArguments(
  values: Readonly<Record<string, string | number | undefined>>,
): string[] {
  return Object.entries(values).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`, String(value)],
  );
}

async function endProcess(child: ChildProcess, timeoutMs: number): Promise<void> {
  if (hasEnded(child)) return;
  const ended = once(child, "exit");
  child.stdin?.end();
  child.kill("SIGTERM");
  const timeout = new AbortController();
  const killLater = sleep(timeoutMs, undefined, { signal: timeout.signal, ref: false }).then(
    () => child.kill("SIGKILL"),
    () => false, // it ended in time, and the wait was called off
  );
  await ended;
  timeout.abort();
  await killLater;
}

/**
 * Prepares what is missing and starts the engine on a free loopback port with a token of its own. The process ends with
 * this one, however this one ends: its standard input is a pipe that breaks.
 * @throws ConfigError for what the user can mend, EngineLostError when the process ends or hangs before it is ready.
 */
export async function launchEngine(options: LaunchOptions): Promise<RunningEngine> {
  const prepared = options.prepared ?? (await prepareEngine(options));
  const { model, embedding, reranker } = prepared;
  const { signal, logFile } = options;
  const stopTimeoutMs = options.stopTimeoutMs ?? 10_000;
  const readyTimeoutMs = options.readyTimeoutMs ?? 180_000;
  signal?.throwIfAborted();
  options.onProgress?.({ stage: "start", message: `starting the engine with ${model.name}` });

  const token = randomBytes(32).toString("hex");
  await mkdir(dirname(logFile), { recursive: true });
  const log = openSync(logFile, "a");
  const child = spawn(
    prepared.python,
    [
      "-m",
      "memory_r1_engine",
      ...toArguments({
        "model-dir": model.directory,
        "model-name": model.name,
        "embedding-dir": embedding.directory,
        "embedding-name": embedding.name,
        "reranker-dir": reranker?.directory,
        "reranker-name": reranker?.name,
        host: "127.0.0.1",
        port: 0,
        dtype: options.dtype ?? "float32",
        device: options.device ?? "cpu",
        threads: options.threads,
        "micro-batch-tokens": options.microBatchTokens,
        "training-memory-gib": options.trainingMemoryGib,
        "gradient-checkpointing": options.gradientCheckpointing,
        "checkpoints-dir": options.checkpointsDirectory,
      }),
    ],
    {
      env: engineVariables(prepared.engineDirectory, { MEMORY_R1_ENGINE_TOKEN: token }),
      stdio: ["pipe", "pipe", log],
      // A group of its own: Ctrl-C reaches this process alone, which then ends the engine when it is done with it.
      detached: true,
    },
  );
  closeSync(log);
  // The pipe breaks when the child ends; that is seen by its exit, and must not end this process.
  child.stdin?.on("error", () => undefined);

  const spawnError = await new Promise<Error | undefined>((resolve) => {
    child.once("spawn", () => resolve(undefined));
    child.once("error", resolve);
  });
  if (spawnError !== undefined)
    throw new ConfigError(
      `${prepared.python} cannot be started (${spawnError.message}): delete ${prepared.environmentDirectory} ` +
        "and run the same command again",
      spawnError,
    );

  const exited = once(child, "exit");
  const timeout = new AbortController();
  const onAbort = (): void => timeout.abort();
  signal?.addEventListener("abort", onAbort, { once: true });
  const ready = await Promise.race([
    readReadyLine(child),
    exited.then(() => undefined),
    sleep(readyTimeoutMs, "timeout" as const, { signal: timeout.signal }).catch(
      () => "aborted" as const,
    ),
  ]);
  signal?.removeEventListener("abort", onAbort);
  timeout.abort();

  if (ready === undefined || ready === "timeout" || ready === "aborted") {
    // Standard output ends a moment before the process does.
    if (ready === undefined) await Promise.race([exited, sleep(2_000, undefined, { ref: false })]);
    const ending = describeEnd(child);
    const exitCode = child.exitCode;
    await endProcess(child, stopTimeoutMs);
    if (signal?.aborted) signal.throwIfAborted();
    const tail = await logTail(logFile);
    // Exit code 2: the engine says in its last line what the user can mend.
    if (exitCode === 2) throw new ConfigError(tail.split("\n").at(-1) ?? tail);
    const what =
      ready === "timeout"
        ? `the engine was not ready after ${readyTimeoutMs / 1000} s`
        : `the engine ended before it was ready (${ending})`;
    throw new EngineLostError(`${what}. The end of ${logFile}:\n${tail}`);
  }

  let isStopping = false;
  const lostController = new AbortController();
  const lost = new Promise<EngineLostError>((resolve) => {
    const onExit = (): void => {
      if (isStopping) return;
      const error = new EngineLostError(
        `the engine (process ${ready.pid}) ended by itself (${describeEnd(child)}): ` +
          `see the end of ${logFile}, then resume the run`,
      );
      lostController.abort(error);
      resolve(error);
    };
    if (hasEnded(child)) onExit();
    else child.once("exit", onExit);
  });

  const baseUrl = `http://127.0.0.1:${ready.port}`;
  const signals = signal === undefined ? [] : [signal];
  const client = createEngineClient({
    baseUrl,
    token,
    signal: AbortSignal.any([...signals, lostController.signal]),
  });
  return {
    client,
    baseUrl,
    token,
    model,
    embedding,
    reranker,
    logFile,
    lost,
    pid: ready.pid,
    async stop() {
      isStopping = true;
      await endProcess(child, stopTimeoutMs);
    },
  };
}
