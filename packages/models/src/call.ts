import type { InferenceProviderOrPolicy } from "@huggingface/inference";
import { setTimeout as sleep } from "node:timers/promises";
import { ModelCallError, type Logger } from "@memory-r1/spec";
import pRetry from "p-retry";
import { parseRetryAfter } from "./retry-after.ts";

/** Where a model answers: a server of one's own (`endpointUrl`), or a provider of Hugging Face Inference. */
export interface InferenceTarget {
  /** Hugging Face model id, or the name that the server knows the model by. */
  readonly model: string;
  /** `http://127.0.0.1:8000` or `https://host/v1`; without it the call goes through Hugging Face's router. */
  readonly endpointUrl?: string;
  readonly accessToken?: string;
  /** Only without `endpointUrl`; default: the account's own order of providers. */
  readonly provider?: InferenceProviderOrPolicy;
  /** Calls in flight at once. */
  readonly concurrency?: number;
  /** Further tries after a transient failure (408, 429, 5xx, no connection, no answer in time); default 4. */
  readonly retries?: number;
  /** First wait before a retry, doubled each time; default 500 ms. A server's `Retry-After` is waited for before it. */
  readonly retryDelayMs?: number;
  /** The most that is waited because a server's `Retry-After` asks for it; default 60 s. */
  readonly maxRetryAfterMs?: number;
  /** How long one try may take; default 240 s, under the 300 s after which Node's fetch gives up by itself. */
  readonly requestTimeoutMs?: number;
  readonly logger?: Logger;
  readonly signal?: AbortSignal;
}

/** What a client has done so far, for a run's log. */
export interface CallStatistics {
  /** Calls that came to an end, retries not counted. */
  readonly calls: number;
  readonly retries: number;
  /** Calls that failed after the last retry. */
  readonly failures: number;
}

/** What every call of @huggingface/inference is made with. */
export interface TryOptions {
  /** Off: the library's own repetition of 503 has no limit and no pause. */
  readonly retry_on_error: false;
  readonly signal: AbortSignal;
  /** The global fetch, which also reads how long the server wants to be left alone. */
  readonly fetch: typeof fetch;
}

/** Counts calls and repeats them where that can help. */
export interface Caller {
  /** Errors: ModelCallError with status and `retryable`, or the abort signal's reason. */
  call<T>(what: string, run: (options: TryOptions) => Promise<T>): Promise<T>;
  statistics(): CallStatistics;
}

const transientStatuses: ReadonlySet<number> = new Set([408, 425, 429]);

/** 501 (not implemented) is no fault of the moment. */
const isTransientStatus = (status: number): boolean =>
  (status >= 500 && status !== 501) || transientStatuses.has(status);

const hintOf = (status: number): string =>
  status === 401 || status === 403
    ? " (is the access token right, and may it use this model?)"
    : "";

/** The HTTP status of an error of @huggingface/inference, which its classes do not export in one place. */
function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !("httpResponse" in error)) return undefined;
  const response = error.httpResponse;
  if (typeof response !== "object" || response === null || !("status" in response))
    return undefined;
  return typeof response.status === "number" ? response.status : undefined;
}

/** An explanation of the server in a body that @huggingface/inference does not read by itself. */
function bodyOf(error: unknown): string {
  if (!(error instanceof Error) || !("httpResponse" in error)) return "";
  const response = error.httpResponse;
  if (typeof response !== "object" || response === null || !("body" in response)) return "";
  const text = typeof response.body === "string" ? response.body : JSON.stringify(response.body);
  return text === "" || text === undefined ? "" : ` ${text.slice(0, 300)}`;
}

/** "fetch failed" alone helps nobody: its causes say why. */
function describe(error: unknown): string {
  const parts: string[] = [];
  for (let current = error, depth = 0; current instanceof Error && depth < 4; depth++) {
    const code = "code" in current && typeof current.code === "string" ? ` (${current.code})` : "";
    if (current.message !== "") parts.push(`${current.message}${code}`);
    current = current.cause;
  }
  return parts.length === 0 ? String(error) : parts.join(": ");
}

/** Classifies what a call threw. Errors that are already classified stay as they are. */
function toModelCallError(what: string, error: unknown, timedOut: boolean): ModelCallError {
  if (error instanceof ModelCallError) return error;
  if (timedOut)
    return new ModelCallError(`${what}: no answer in time`, { retryable: true, cause: error });
  const status = statusOf(error);
  if (status !== undefined)
    return new ModelCallError(
      `${what}: HTTP ${status}${hintOf(status)}: ${describe(error)}${bodyOf(error)}`,
      {
        status,
        retryable: isTransientStatus(status),
        cause: error,
      },
    );
  // A TypeError is what fetch throws when there is no connection, a SyntaxError what half a JSON gives; everything else
  // is a refusal of the library itself.
  const retryable = error instanceof TypeError || error instanceof SyntaxError;
  return new ModelCallError(`${what}: ${describe(error)}`, { retryable, cause: error });
}

/** Makes a caller for one target. */
export function createCaller(target: InferenceTarget): Caller {
  const timeoutMs = target.requestTimeoutMs ?? 240_000;
  let calls = 0;
  let retries = 0;
  let failures = 0;

  const maxRetryAfterMs = target.maxRetryAfterMs ?? 60_000;

  async function attempt<T>(
    what: string,
    run: (options: TryOptions) => Promise<T>,
    onRetryAfter: (waitMs: number) => void,
  ): Promise<T> {
    const timeout = AbortSignal.timeout(timeoutMs);
    const signal =
      target.signal === undefined ? timeout : AbortSignal.any([target.signal, timeout]);
    try {
      return await run({
        retry_on_error: false,
        signal,
        fetch: async (input, init) => {
          const response = await fetch(input, init);
          onRetryAfter(Math.min(parseRetryAfter(response.headers) ?? 0, maxRetryAfterMs));
          return response;
        },
      });
    } catch (error) {
      target.signal?.throwIfAborted();
      throw toModelCallError(what, error, timeout.aborted);
    }
  }

  return {
    async call(what, run) {
      let retryAfterMs = 0;
      const tryOnce = () => {
        retryAfterMs = 0;
        return attempt(what, run, (waitMs) => {
          retryAfterMs = waitMs;
        });
      };
      try {
        return await pRetry(tryOnce, {
          retries: target.retries ?? 4,
          minTimeout: target.retryDelayMs ?? 500,
          maxTimeout: 30_000,
          factor: 2,
          ...(target.signal ? { signal: target.signal } : {}),
          shouldRetry: ({ error }) => error instanceof ModelCallError && error.retryable,
          onFailedAttempt: async ({ error, retriesLeft }) => {
            if (retriesLeft === 0 || !(error instanceof ModelCallError && error.retryable)) return;
            retries += 1;
            const wait = retryAfterMs === 0 ? "" : `, in ${retryAfterMs} ms as the server asks`;
            target.logger?.warn(
              `${error.message}; trying again${wait} (${retriesLeft} tries left)`,
            );
            await pause(retryAfterMs, target.signal);
          },
        });
      } catch (error) {
        failures += 1;
        throw error;
      } finally {
        calls += 1;
      }
    },
    statistics: () => ({ calls, retries, failures }),
  };
}

/** @throws the abort signal's reason */
async function pause(durationMs: number, signal: AbortSignal | undefined): Promise<void> {
  if (durationMs === 0) return;
  try {
    await sleep(durationMs, undefined, signal === undefined ? {} : { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
