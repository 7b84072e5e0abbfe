import { defaultCacheDirectory } from "@memory-r1/engine";
import { silentLogger } from "@memory-r1/spec";
import type { RunContext } from "../../run-context.ts";

/**
 * A context that says nothing to anybody, with the user's own cache of models.
 * @param onProgress hears what a progress display would show, as one text: `reader: GRPO steps, train`
 */
export function createSilentContext(
  repositoryRoot: string,
  {
    onProgress = () => undefined,
    signal = new AbortController().signal,
    dataDirectory,
  }: {
    readonly onProgress?: (event: string) => void;
    readonly signal?: AbortSignal;
    readonly dataDirectory?: string;
  } = {},
): RunContext {
  return {
    logger: silentLogger,
    startProgress: (label) => ({
      advance: () => onProgress(`${label}, advance`),
      note: (text) => onProgress(`${label}, ${text}`),
      done: () => undefined,
    }),
    signal,
    cacheDirectory: defaultCacheDirectory(),
    dataDirectory,
    pythonPath: undefined,
    huggingFaceToken: undefined,
    endpointToken: undefined,
    repositoryRoot,
  };
}
