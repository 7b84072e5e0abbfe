import { ConfigError, silentLogger, type Logger } from "@memory-r1/spec";
import { installEnvironment } from "./environment.ts";
import { defaultCacheDirectory, defaultEngineDirectory, requirementsOf } from "./locations.ts";
import type { OnSetupProgress } from "./progress.ts";
import { findPython } from "./python.ts";
import { resolveModel, type ResolvedModel } from "./resolve-model.ts";

/** The models that come without a download from a hub (docs: models by name). */
export const defaultModelName = "smollm2-135m-instruct";
export const defaultEmbeddingName = "all-minilm-l6-v2";
/** For who wants a reranker and names none. No package has one: it comes from the Hugging Face hub. */
export const defaultRerankerName = "cross-encoder/ms-marco-MiniLM-L6-v2";

export interface PrepareOptions {
  /** Name, Hugging Face id or folder of a causal language model; default {@link defaultModelName}. */
  readonly model?: string | undefined;
  /** Name, id or folder of a sentence encoder; default {@link defaultEmbeddingName}. */
  readonly embedding?: string | undefined;
  /** Hugging Face id or folder of a cross-encoder, {@link defaultRerankerName} for example; absent: none is served. */
  readonly reranker?: string | undefined;
  /** A command or path; default: the newest supported Python that is found. */
  readonly python?: string | undefined;
  /** Default: {@link defaultCacheDirectory}. */
  readonly cacheDirectory?: string | undefined;
  /** Default: packages/engine-torch of this checkout. */
  readonly engineDirectory?: string | undefined;
  readonly logger?: Logger | undefined;
  readonly onProgress?: OnSetupProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Everything that a launch needs, on disk. */
export interface PreparedEngine {
  /** The environment's interpreter. */
  readonly python: string;
  readonly pythonVersion: string;
  readonly environmentDirectory: string;
  readonly engineDirectory: string;
  readonly cacheDirectory: string;
  readonly model: ResolvedModel;
  readonly embedding: ResolvedModel;
  readonly reranker?: ResolvedModel | undefined;
}

/**
 * Finds Python, installs the environment and fetches the models: minutes the first time, under a second afterwards.
 * Interrupted at any point, the next call goes on.
 * @throws ConfigError whose message names the fix.
 */
export async function prepareEngine(options: PrepareOptions = {}): Promise<PreparedEngine> {
  const logger = options.logger ?? silentLogger;
  const { onProgress, signal } = options;
  const cacheDirectory = options.cacheDirectory ?? defaultCacheDirectory();
  const engineDirectory = options.engineDirectory ?? defaultEngineDirectory();

  onProgress?.({ stage: "python", message: "looking for Python 3.11 to 3.13" });
  const interpreter = await findPython({ python: options.python });
  const environment = await installEnvironment({
    cacheDirectory,
    requirements: requirementsOf(engineDirectory),
    interpreter,
    logger,
    onProgress,
    signal,
  });
  const resolve = (
    stage: "model" | "embedding" | "reranker",
    name: string,
  ): Promise<ResolvedModel> => {
    onProgress?.({ stage, message: `looking for ${name}` });
    return resolveModel({
      name,
      cacheDirectory,
      engineDirectory,
      python: environment.python,
      signal,
      onLine: (message) => onProgress?.({ stage, message }),
    });
  };
  const model = await resolve("model", options.model ?? defaultModelName);
  const embedding = await resolve("embedding", options.embedding ?? defaultEmbeddingName);
  const reranker =
    options.reranker === undefined
      ? undefined
      : await resolve("reranker", options.reranker).catch(explainReranker(options.reranker));
  return {
    python: environment.python,
    pythonVersion: interpreter.version,
    environmentDirectory: environment.directory,
    engineDirectory,
    cacheDirectory,
    model,
    embedding,
    reranker,
  };
}

/** The resolver's advice ends in the embedded models, none of which can rerank: it is replaced. */
function explainReranker(name: string): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof ConfigError)) throw error;
    const [problem = ""] = error.message.split(/\.? (?:To fix it:|Give a folder) /);
    throw new ConfigError(
      `the reranker "${name}" cannot be had: ${problem}. To fix it: give the folder of a cross-encoder (config.json, ` +
        "tokenizer.json, model.safetensors with a head for one score), or check the spelling and connect to the Hugging " +
        "Face hub once (HF_TOKEN for a gated model). No model that comes with a package is a reranker",
      error,
    );
  };
}
