import { statfs } from "node:fs/promises";
import { totalmem } from "node:os";
import { ConfigError } from "@memory-r1/spec";
import { isEnvironmentInstalled, locateEnvironment, makeCacheFolder } from "./environment.ts";
import { defaultCacheDirectory, defaultEngineDirectory, requirementsOf } from "./locations.ts";
import { defaultEmbeddingName, defaultModelName, type PrepareOptions } from "./prepare.ts";
import { findPython, type PythonInterpreter } from "./python.ts";
import { recallModel } from "./resolve-model.ts";

/** One thing that the engine needs. `missing` is fetched by the next run; `failed` needs the user. */
export interface EngineFinding {
  readonly name: "python" | "environment" | "model" | "embedding" | "disk" | "memory";
  readonly status: "ok" | "missing" | "failed";
  readonly detail: string;
  /** What to do about it; absent where nothing is to be done. */
  readonly fix?: string;
}

/** Environment and models of the defaults need this much. */
const neededDiskBytes = 3e9;
/** The default model with a small training batch stays under this. */
const neededMemoryBytes = 4e9;

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

/** Looks at everything and changes nothing but the existence of the cache folder. Never throws for what it finds. */
export async function inspectEngine(
  options: Pick<
    PrepareOptions,
    "model" | "embedding" | "python" | "cacheDirectory" | "engineDirectory"
  > = {},
): Promise<readonly EngineFinding[]> {
  const cacheDirectory = options.cacheDirectory ?? defaultCacheDirectory();
  const engineDirectory = options.engineDirectory ?? defaultEngineDirectory();
  const findings: EngineFinding[] = [];

  let interpreter: PythonInterpreter | undefined;
  try {
    interpreter = await findPython({ python: options.python });
    findings.push({
      name: "python",
      status: "ok",
      detail: `Python ${interpreter.version} (${interpreter.executable})`,
    });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    findings.push({
      name: "python",
      status: "failed",
      detail: error.message,
      fix: "install Python 3.11, 3.12 or 3.13",
    });
  }

  let installed = false;
  if (interpreter !== undefined) {
    const place = { cacheDirectory, requirements: requirementsOf(engineDirectory), interpreter };
    installed = await isEnvironmentInstalled(place);
    const { directory } = await locateEnvironment(place);
    findings.push(
      installed
        ? { name: "environment", status: "ok", detail: directory }
        : {
            name: "environment",
            status: "missing",
            detail: `not installed in ${directory}`,
            fix: "nothing to do: the next run installs it (network needed)",
          },
    );
  } else {
    findings.push({
      name: "environment",
      status: "failed",
      detail: "cannot be checked without Python",
      fix: "install Python first",
    });
  }

  for (const [name, modelName] of [
    ["model", options.model ?? defaultModelName],
    ["embedding", options.embedding ?? defaultEmbeddingName],
  ] as const) {
    const model = await recallModel({ name: modelName, cacheDirectory, engineDirectory });
    findings.push(
      model === undefined
        ? {
            name,
            status: "missing",
            detail: `${modelName} was not prepared yet`,
            fix: "nothing to do: the next run fetches it (network needed unless it is a folder)",
          }
        : { name, status: "ok", detail: `${modelName} ${model.revision} (${model.directory})` },
    );
  }

  findings.push(await inspectDisk(cacheDirectory, installed));
  const memory = totalmem();
  findings.push(
    memory >= neededMemoryBytes
      ? { name: "memory", status: "ok", detail: `${gigabytes(memory)} in all` }
      : {
          name: "memory",
          status: "failed",
          detail: `${gigabytes(memory)} in all; the default model needs ${gigabytes(neededMemoryBytes)} to train`,
          fix: "use a machine with more memory, or dtype bfloat16",
        },
  );
  return findings;
}

async function inspectDisk(cacheDirectory: string, installed: boolean): Promise<EngineFinding> {
  try {
    await makeCacheFolder(cacheDirectory);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return {
      name: "disk",
      status: "failed",
      detail: error.message,
      fix: "make the folder writable or choose another cache folder",
    };
  }
  const { bavail, bsize } = await statfs(cacheDirectory);
  const free = bavail * bsize;
  const detail = `${gigabytes(free)} free in ${cacheDirectory}`;
  return installed || free >= neededDiskBytes
    ? { name: "disk", status: "ok", detail }
    : {
        name: "disk",
        status: "failed",
        detail: `${detail}; the set-up needs ${gigabytes(neededDiskBytes)}`,
        fix: "free some space or choose another cache folder",
      };
}
