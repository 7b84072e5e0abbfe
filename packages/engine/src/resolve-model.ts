import { createHash } from "node:crypto";
import { readFile, readdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError, DataFormatError, parseJson } from "@memory-r1/spec";
import { z } from "zod";
import { $ } from "zx";
import { makeCacheFolder } from "./environment.ts";
import { isDirectory, readOptional } from "./files.ts";
import { lastLines, runCommand } from "./run-command.ts";

/** A model as files on this machine. */
export interface ResolvedModel {
  /** Its own name, which may differ from the one that it was asked for by. */
  readonly name: string;
  /** A Hugging Face model directory: config.json, safetensors, tokenizer.json. */
  readonly directory: string;
  /** What exactly these files are (a commit, a package version, a content hash): for manifests. */
  readonly revision: string;
  /** Where they came from, in words. */
  readonly source: string;
}

const resolvedModelSchema = z.object({
  name: z.string(),
  directory: z.string(),
  revision: z.string(),
  source: z.string(),
});

export interface ResolveModelOptions {
  readonly name: string;
  readonly cacheDirectory: string;
  readonly engineDirectory: string;
  /** The environment's interpreter. */
  readonly python: string;
  readonly onLine?: (line: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/** A digest of the engine's code: a changed conversion of models makes remembered answers void. */
async function codeDigest(engineDirectory: string): Promise<string> {
  const folder = join(engineDirectory, "src", "memory_r1_engine");
  const names = (await readdir(folder)).filter((name) => name.endsWith(".py")).sort();
  const hash = createHash("sha256");
  for (const name of names) hash.update(name).update(await readFile(join(folder, name)));
  return hash.digest("hex");
}

async function rememberedFile(
  options: Pick<ResolveModelOptions, "name" | "cacheDirectory" | "engineDirectory">,
): Promise<string> {
  const key = createHash("sha256")
    .update(JSON.stringify([options.name, await codeDigest(options.engineDirectory)]))
    .digest("hex")
    .slice(0, 16);
  return join(options.cacheDirectory, "resolved", `${key}.json`);
}

/**
 * What an earlier call found, if it is still there. A file check: no Python is started.
 * A name that is a folder on this machine is never remembered: its content may change.
 */
export async function recallModel(
  options: Pick<ResolveModelOptions, "name" | "cacheDirectory" | "engineDirectory">,
): Promise<ResolvedModel | undefined> {
  if (await isDirectory(options.name)) return undefined;
  const file = await rememberedFile(options);
  const text = await readOptional(file);
  if (text === undefined) return undefined;
  try {
    const model = parseJson(text, resolvedModelSchema, file);
    return (await isDirectory(model.directory)) ? model : undefined;
  } catch (error) {
    // A file cut off by a full disk is as good as none: it is written again.
    if (error instanceof DataFormatError) return undefined;
    throw error;
  }
}

/** Finds, downloads or converts a model through the engine's Python package.
 *  @throws ConfigError when no source has it, with the resolver's own explanation. */
export async function resolveModel(options: ResolveModelOptions): Promise<ResolvedModel> {
  const remembered = await recallModel(options);
  if (remembered !== undefined) return remembered;

  const output = await runCommand(
    [
      options.python,
      "-m",
      "memory_r1_engine.models",
      "resolve",
      options.name,
      "--cache-dir",
      options.cacheDirectory,
    ],
    {
      stream: "stderr",
      env: engineVariables(options.engineDirectory),
      signal: options.signal,
      onLine: (line) => options.onLine?.(line),
    },
  );
  if (output.exitCode !== 0)
    throw new ConfigError(
      // Exit code 2: the resolver says in its last line what the user can mend.
      output.exitCode === 2
        ? lastLines(output.stderr, 1)
        : `the model "${options.name}" could not be prepared (exit code ${String(output.exitCode)}):\n` +
            lastLines(output.stderr),
    );
  const answer = lastLines(output.stdout, 1);
  const model = parseJson(
    answer,
    resolvedModelSchema,
    `answer of the model resolver for ${options.name}`,
  );
  if (!(await isDirectory(options.name))) {
    await makeCacheFolder(join(options.cacheDirectory, "resolved"));
    const file = await rememberedFile(options);
    const part = `${file}.${process.pid}.part`;
    await writeFile(part, `${JSON.stringify(model)}\n`);
    await rename(part, file);
  }
  return model;
}

/** The environment variables of a Python process of the engine: this process's own (zx keeps them), and where its code is. */
export function engineVariables(
  engineDirectory: string,
  more: Readonly<Record<string, string>> = {},
): NodeJS.ProcessEnv {
  return {
    ...$.env,
    PYTHONPATH: join(engineDirectory, "src"),
    PYTHONUTF8: "1",
    PYTHONUNBUFFERED: "1",
    ...more,
  };
}
