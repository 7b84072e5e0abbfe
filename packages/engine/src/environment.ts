import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { arch, platform } from "node:os";
import { basename, join } from "node:path";
import { ConfigError, type Logger } from "@memory-r1/spec";
import { lock } from "proper-lockfile";
import { readOptional } from "./files.ts";
import type { OnSetupProgress } from "./progress.ts";
import type { PythonInterpreter } from "./python.ts";
import { lastLines, runCommand } from "./run-command.ts";

/** A virtual environment with everything of a requirements file. */
export interface PythonEnvironment {
  readonly directory: string;
  /** The environment's own interpreter. */
  readonly python: string;
}

/** What decides where an environment lies. */
export interface EnvironmentPlace {
  readonly cacheDirectory: string;
  /** Path of the requirements file. */
  readonly requirements: string;
  readonly interpreter: PythonInterpreter;
}

export interface EnvironmentOptions extends EnvironmentPlace {
  readonly logger: Logger;
  readonly onProgress?: OnSetupProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Written last: a folder without it is what an interrupted installation left. */
const markerName = "installed.json";

/** Where the environment of a requirements file lies: one for each content, Python version and platform. */
export async function locateEnvironment(
  options: EnvironmentPlace,
): Promise<PythonEnvironment & { readonly marker: string }> {
  const { requirements } = options;
  let content: string;
  try {
    content = await readFile(requirements, "utf8");
  } catch (cause) {
    throw new ConfigError(
      `${requirements} cannot be read: this checkout is incomplete, clone it again`,
      cause,
    );
  }
  const key = createHash("sha256")
    .update(JSON.stringify([content, options.interpreter.version, platform(), arch()]))
    .digest("hex")
    .slice(0, 16);
  const directory = join(options.cacheDirectory, "python", key);
  const python =
    platform() === "win32"
      ? join(directory, "Scripts", "python.exe")
      : join(directory, "bin", "python");
  return { directory, python, marker: join(directory, markerName) };
}

/** Whether the environment is complete. A file check: no Python is started. */
export async function isEnvironmentInstalled(options: EnvironmentPlace): Promise<boolean> {
  const { marker } = await locateEnvironment(options);
  return (await readOptional(marker)) !== undefined;
}

/** Makes a folder, with an error that the user can act on. */
export async function makeCacheFolder(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true });
  } catch (cause) {
    throw new ConfigError(
      `the cache folder ${directory} cannot be made (${cause instanceof Error ? cause.message : String(cause)}): ` +
        "make it writable or choose another cache folder",
      cause,
    );
  }
}

/** The part of a pip line that tells a person something. */
function summarisePipLine(line: string): string | undefined {
  const match =
    /^(Collecting|Downloading|Using cached|Installing collected packages|Successfully)\b/.exec(
      line,
    );
  return match === null ? undefined : line.replace(/ \(from .*/, "").slice(0, 160);
}

/** Takes the lock of an environment, however long another process holds it. Returns what gives it back. */
async function lockEnvironment(
  directory: string,
  logger: Logger,
  onWait: () => void,
): Promise<() => Promise<void>> {
  const settings = {
    realpath: false,
    // A holder that was killed stops renewing its lock.
    stale: 30_000,
    update: 5_000,
    onCompromised: (error: Error) =>
      logger.warn(`the lock of ${directory} was lost (${error.message}); going on`),
  };
  try {
    return await lock(directory, settings);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ELOCKED")) throw error;
  }
  onWait();
  const everySecondForAnHour = { retries: 3600, factor: 1, minTimeout: 1_000, maxTimeout: 1_000 };
  return lock(directory, { ...settings, retries: everySecondForAnHour });
}

/**
 * The environment for the engine, installed where it is missing. Two processes that start at once install it once.
 * @throws ConfigError when pip fails, with pip's last lines.
 */
export async function installEnvironment(options: EnvironmentOptions): Promise<PythonEnvironment> {
  const { requirements } = options;
  const { directory, python, marker } = await locateEnvironment(options);
  if ((await readOptional(marker)) !== undefined) return { directory, python };

  const report = (message: string): void => options.onProgress?.({ stage: "environment", message });
  await makeCacheFolder(join(options.cacheDirectory, "python"));
  const release = await lockEnvironment(directory, options.logger, () =>
    report("waiting for another process that installs the same environment"),
  );
  try {
    if ((await readOptional(marker)) !== undefined) return { directory, python };
    options.logger.info(
      `Installing the Python environment of ${basename(requirements)} into ${directory} (once; several minutes)`,
    );
    await rm(directory, { recursive: true, force: true });
    report("creating the virtual environment");
    const created = await runCommand([options.interpreter.executable, "-m", "venv", directory], {
      stream: "stdout",
      onLine: report,
      signal: options.signal,
    });
    if (created.exitCode !== 0)
      throw new ConfigError(
        `Python ${options.interpreter.version} could not create a virtual environment in ${directory}:\n` +
          `${lastLines(created.stdout + created.stderr)}\n` +
          "Install its venv module (Debian, Ubuntu: python3-venv) or use another Python.",
      );
    const installed = await runCommand(
      [
        python,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--progress-bar",
        "off",
        "--requirement",
        requirements,
      ],
      {
        stream: "stdout",
        signal: options.signal,
        onLine: (line) => {
          const summary = summarisePipLine(line);
          if (summary !== undefined) report(summary);
        },
      },
    );
    if (installed.exitCode !== 0)
      throw new ConfigError(
        `pip could not install ${requirements} (exit code ${String(installed.exitCode)}). Its last lines:\n` +
          `${lastLines(installed.stdout, 5)}\n${lastLines(installed.stderr)}\n` +
          "Check the network, the proxy and free disk space, then run the same command again.",
      );
    const record = { python: options.interpreter.version, requirements };
    await writeFile(`${marker}.part`, `${JSON.stringify(record)}\n`);
    await rename(`${marker}.part`, marker);
    report("the Python environment is ready");
    return { directory, python };
  } finally {
    await release();
  }
}
