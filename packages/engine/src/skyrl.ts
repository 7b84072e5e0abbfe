import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { delimiter, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ConfigError, EngineLostError, silentLogger } from "@memory-r1/spec";
import { $ } from "zx";
import { createEngineClient, type EngineClient } from "./client.ts";
import { installEnvironment } from "./environment.ts";
import { logTail, toArguments } from "./launch.ts";
import { defaultCacheDirectory, skyRlRequirements } from "./locations.ts";
import { readModelFacts } from "./model-facts.ts";
import type { PrepareOptions } from "./prepare.ts";
import { findPython } from "./python.ts";
import { lastLines, runCommand } from "./run-command.ts";

export interface SkyRlOptions extends Pick<
  PrepareOptions,
  "python" | "cacheDirectory" | "logger" | "onProgress" | "signal"
> {
  /** A Hugging Face model directory of an architecture that SkyRL's JAX backend has (Llama, Qwen 3). */
  readonly modelDirectory: string;
  /** A fresh folder: database and checkpoints. */
  readonly directory: string;
  readonly logFile: string;
  /** Default 8. */
  readonly maxLoraRank?: number;
  /**
   * JAX processes that share the model and each batch between them, scheduled by Ray; default 1, without Ray. With more, Ray and
   * JAX listen at this machine's network address too, and Ray keeps its logs in its own temporary folder.
   */
  readonly processes?: number | undefined;
  /** From start to the first answer; default 180 s. */
  readonly readyTimeoutMs?: number;
}

/** A running SkyRL server. */
export interface RunningSkyRl {
  readonly client: EngineClient;
  readonly baseUrl: string;
  /** What it calls the model: the folder. */
  readonly baseModel: string;
  readonly logFile: string;
  /** Ends it and all its processes. */
  stop(): Promise<void>;
}

/** Adapters at a time, that of the base model included: every one takes memory, and an optimiser holds all of them. */
const maxLoraAdapters = 5;

/**
 * Installs SkyRL into an environment of its own in the cache folder (once; about 2 GB) and starts its server with the
 * JAX backend on the CPU, on a free loopback port. It has no token: any process of this machine can use it.
 * Its API process finds its own options in the command line of a parent `uv run`, so that uv starts it.
 * @throws ConfigError for what the user can mend, EngineLostError if the server ends before it answers.
 */
export async function launchSkyRl(options: SkyRlOptions): Promise<RunningSkyRl> {
  const { modelDirectory, directory, logFile, signal } = options;
  const cacheDirectory = options.cacheDirectory ?? defaultCacheDirectory();
  const facts = { ...(await readModelFacts(modelDirectory)), device: "cpu" };
  options.onProgress?.({ stage: "python", message: "looking for Python 3.11 to 3.13" });
  const interpreter = await findPython({ python: options.python });
  const environment = await installEnvironment({
    cacheDirectory,
    requirements: skyRlRequirements(),
    interpreter,
    logger: options.logger ?? silentLogger,
    onProgress: options.onProgress,
    signal,
  });
  await mendSkyRl(environment.python, signal);

  await mkdir(directory, { recursive: true });
  await mkdir(dirname(logFile), { recursive: true });
  const port = await findFreePort();
  const binaries = dirname(environment.python);
  options.onProgress?.({ stage: "start", message: "starting SkyRL" });
  const log = openSync(logFile, "a");
  const child = spawn(
    join(binaries, "uv"),
    [
      "run",
      "--active",
      "--no-project",
      "-m",
      "skyrl.tinker.api",
      ...toArguments({
        "base-model": modelDirectory,
        backend: "jax",
        host: "127.0.0.1",
        port,
        "database-url": `sqlite:///${join(directory, "tinker.db")}`,
        "checkpoints-base": join(directory, "checkpoints"),
        "session-timeout-sec": -1,
        "backend-config": JSON.stringify({
          max_lora_adapters: maxLoraAdapters,
          max_lora_rank: options.maxLoraRank ?? 8,
          ...batchesOf(options.processes ?? 1),
        }),
      }),
    ],
    {
      cwd: directory,
      env: {
        ...$.env,
        VIRTUAL_ENV: dirname(binaries),
        PATH: [binaries, $.env.PATH ?? ""].join(delimiter),
        HF_HUB_OFFLINE: "1",
        JAX_PLATFORMS: "cpu",
        JAX_COMPILATION_CACHE_DIR: join(cacheDirectory, "jax"),
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS: "0.5",
        PYTHONUNBUFFERED: "1",
        // A cluster of this server's own, whose workers run this environment's Python rather than a `uv run` of their own.
        RAY_ADDRESS: "local",
        RAY_ENABLE_UV_RUN_RUNTIME_ENV: "0",
        RAY_USAGE_STATS_ENABLED: "0",
      },
      stdio: ["ignore", log, log],
      // A group of its own, because uv, the API and the engine are four processes that must end together.
      detached: true,
    },
  );
  closeSync(log);
  const exited = once(child, "exit");
  exited.catch(() => undefined);
  const stop = async (): Promise<void> => {
    const { pid } = child;
    if (pid === undefined) return;
    endGroup(pid, "SIGTERM");
    if (child.exitCode === null && child.signalCode === null)
      await Promise.race([exited, sleep(10_000, undefined, { ref: false })]);
    endGroup(pid, "SIGKILL");
  };

  const baseUrl = `http://127.0.0.1:${port}`;
  const lost = new AbortController();
  child.once("exit", () =>
    lost.abort(new EngineLostError(`SkyRL's server ended by itself: see the end of ${logFile}`)),
  );
  child.once("error", (error) => lost.abort(error));
  const client = createEngineClient({
    baseUrl,
    // It reads none.
    token: "none",
    dialect: "skyrl-jax",
    facts,
    signal: AbortSignal.any([...(signal === undefined ? [] : [signal]), lost.signal]),
  });
  const deadline = performance.now() + (options.readyTimeoutMs ?? 180_000);
  for (;;) {
    try {
      await client.healthz();
      return { client, baseUrl, baseModel: modelDirectory, logFile, stop };
    } catch (error) {
      if (lost.signal.aborted || performance.now() > deadline || signal?.aborted) {
        await stop();
        if (signal?.aborted) throw error;
        throw new EngineLostError(
          `SkyRL's server did not start. The end of ${logFile}:\n${await logTail(logFile)}`,
          error,
        );
      }
    }
    await sleep(500);
  }
}

/** Ends what is left of a process group. */
function endGroup(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(-pid, name);
  } catch (error) {
    // ESRCH: all of it has ended.
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

async function findFreePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string")
    throw new ConfigError("no free port was found on 127.0.0.1");
  return address.port;
}

/**
 * Batches of one shape each, since every further shape is compiled anew, which takes longer than the work; with several
 * processes they are cut along the batch, and so is what each process holds of the weights.
 */
function batchesOf(processes: number): Record<string, unknown> {
  const shapes = {
    train_micro_batch_size: processes,
    sample_max_num_sequences: Math.ceil(4 / processes) * processes,
  };
  if (processes === 1) return shapes;
  return {
    ...shapes,
    use_ray: true,
    num_processes: processes,
    fully_sharded_data_parallel_size: processes,
  };
}

/**
 * What SkyRL 0.3.0 needs to run here, done in this environment alone; a second time has no effect:
 * - it says that it takes Python 3.11, and pydantic refuses its `typing.TypedDict` below 3.12: that name is then the one of
 *   typing_extensions;
 * - its Ray backend cannot create a model, because it does not know the argument `model_role` (mended later by its #1932).
 */
async function mendSkyRl(python: string, signal: AbortSignal | undefined): Promise<void> {
  const output = await runCommand(
    [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
    { stream: "stdout", onLine: () => undefined, signal },
  );
  if (output.exitCode !== 0)
    throw new ConfigError(`${python} does not run:\n${lastLines(output.stderr)}`);
  const packages = output.stdout.trim();
  await writeFile(
    join(packages, "memory_r1_typed_dict.pth"),
    'import sys, typing; sys.version_info < (3, 12) and setattr(typing, "TypedDict", ' +
      '__import__("typing_extensions").TypedDict)\n',
  );
  const rayBackend = join(packages, "skyrl", "backends", "ray_jax.py");
  const signature = "def create_model(self, model_id: str, lora_config: types.LoraConfig";
  const source = await readFile(rayBackend, "utf8");
  const mended = source.replaceAll(
    `${signature}) -> None:`,
    `${signature}, model_role: str = "policy") -> None:`,
  );
  if (mended !== source) await writeFile(rayBackend, mended);
}
