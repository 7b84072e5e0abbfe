import { setMaxListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import {
  DataFormatError,
  EngineLostError,
  ModelCallError,
  engineErrorSchema,
  parseJson,
} from "@memory-r1/spec";
import type { z } from "zod";

/** What one HTTP exchange came to, before anybody decides whether to try again. */
type Exchange =
  | { readonly kind: "answer"; readonly status: number; readonly text: string }
  /** Nobody listens there: the process is gone or was never there. */
  | { readonly kind: "refused"; readonly cause: unknown }
  /** The connection broke in the middle: the request may or may not have been taken. */
  | { readonly kind: "broken"; readonly cause: unknown }
  | { readonly kind: "timeout" };

export interface TransportOptions {
  /** `http://127.0.0.1:4711`, without a path. */
  readonly baseUrl: string;
  readonly token: string;
  /** Ends every call in flight with the signal's reason. */
  readonly signal?: AbortSignal;
  /** How long one request may take from sending to the last byte; default 120 s. */
  readonly requestTimeoutMs?: number;
  /** How long one long-poll waits before the next; default 45 s, well under the 300 s of Node's fetch. */
  readonly pollTimeoutMs?: number;
  /** First wait before a retry, doubled each time; default 200 ms. */
  readonly retryDelayMs?: number;
}

/** Authorised JSON calls to one engine. Paths are under `/api/v1`. */
export interface Transport {
  /** Errors: EngineLostError, ModelCallError (HTTP status), DataFormatError (an answer of another form). */
  get<T>(path: string, schema: z.ZodType<T>): Promise<T>;
  /** `idempotent`: the engine answers an equal request twice with the same future, so that it may be repeated. */
  post<T>(
    path: string,
    body: unknown,
    schema: z.ZodType<T>,
    options: { readonly idempotent: boolean },
  ): Promise<T>;
  /** Waits for the result of a future, however long it takes. */
  retrieve<T>(requestId: string, schema: z.ZodType<T>): Promise<T>;
}

/** Tries of an idempotent call, and broken polls in a row, before giving up. */
const maxTries = 5;

/** A server or a proxy says "not now". 500 is not here: the engine uses it for a call that failed for good. */
const transientStatuses: ReadonlySet<number> = new Set([408, 425, 429, 502, 503, 504]);

const refusedCodes: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EADDRNOTAVAIL",
]);

/** The system's error code (`ECONNREFUSED`) of a failed fetch, which hides it in the causes. */
function errorCode(error: unknown): string | undefined {
  for (let current = error, depth = 0; current instanceof Error && depth < 5; depth++) {
    if ("code" in current && typeof current.code === "string") return current.code;
    current = current.cause;
  }
  return undefined;
}

function describeCause(error: unknown): string {
  const code = errorCode(error);
  const text = error instanceof Error ? error.message : String(error);
  return code === undefined ? text : `${text} (${code})`;
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}

/** The `detail` of an engine's error body; whatever came instead, shortened, where it has another form. */
function errorDetail(text: string): string {
  try {
    return parseJson(text, engineErrorSchema, "error body").detail;
  } catch (error) {
    if (!(error instanceof DataFormatError)) throw error;
    return text === "" ? "no explanation in the body" : text.slice(0, 500);
  }
}

/** Makes the calls of {@link Transport} over Node's fetch. */
export function createTransport(options: TransportOptions): Transport {
  const baseUrl = options.baseUrl.replace(/\/+$/, "");
  const requestTimeoutMs = options.requestTimeoutMs ?? 120_000;
  const pollTimeoutMs = options.pollTimeoutMs ?? 45_000;
  const retryDelayMs = options.retryDelayMs ?? 200;
  const { signal } = options;
  // A wave has dozens of calls in flight, each listening; that many listeners are no leak.
  if (signal !== undefined) setMaxListeners(0, signal);

  async function exchange(
    method: "GET" | "POST",
    path: string,
    body: string | undefined,
    timeoutMs: number,
  ): Promise<Exchange> {
    if (signal?.aborted) throw asError(signal.reason);
    // Not AbortSignal.any: every call would stay registered at the long-lived signal.
    const controller = new AbortController();
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      controller.abort();
    }, timeoutMs);
    const onAbort = (): void => controller.abort();
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      const response = await fetch(`${baseUrl}/api/v1${path}`, {
        method,
        headers: {
          authorization: `Bearer ${options.token}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
        },
        ...(body === undefined ? {} : { body }),
        signal: controller.signal,
      });
      return { kind: "answer", status: response.status, text: await response.text() };
    } catch (cause) {
      if (signal?.aborted) throw asError(signal.reason);
      if (timedOut) return { kind: "timeout" };
      const code = errorCode(cause);
      return { kind: code !== undefined && refusedCodes.has(code) ? "refused" : "broken", cause };
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  async function pause(failedTries: number): Promise<void> {
    try {
      await sleep(retryDelayMs * 2 ** (failedTries - 1), undefined, signal ? { signal } : {});
    } catch (cause) {
      throw signal?.aborted ? asError(signal.reason) : cause;
    }
  }

  const lost = (what: string, cause: unknown): EngineLostError =>
    new EngineLostError(
      `${what}: no engine answers at ${baseUrl} (${describeCause(cause)}). ` +
        "Its process has ended or the address is wrong: see the engine's log, then resume the run.",
      cause,
    );

  const failed = (what: string, status: number, text: string): ModelCallError =>
    new ModelCallError(`${what}: the engine answered HTTP ${status}: ${errorDetail(text)}`, {
      status,
      retryable: status >= 500 || transientStatuses.has(status),
    });

  /** One request, repeated where that is safe. */
  async function call<T>(
    method: "GET" | "POST",
    path: string,
    body: string | undefined,
    schema: z.ZodType<T>,
    idempotent: boolean,
  ): Promise<T> {
    const what = `${method} ${path}`;
    for (let tries = 1; ; tries++) {
      const result = await exchange(method, path, body, requestTimeoutMs);
      const last = tries === maxTries || !idempotent;
      switch (result.kind) {
        case "answer": {
          if (result.status < 400) return parseJson(result.text, schema, `answer to ${what}`);
          if (last || !transientStatuses.has(result.status))
            throw failed(what, result.status, result.text);
          break;
        }
        case "refused":
          throw lost(what, result.cause);
        case "broken": {
          if (!last) break;
          // A broken connection is what the end of the process looks like to the call in flight.
          const probe = await exchange("GET", "/healthz", undefined, 10_000);
          if (probe.kind !== "answer") throw lost(what, result.cause);
          throw new ModelCallError(
            `${what}: the connection broke before the answer came (${describeCause(result.cause)}); ` +
              "whether the engine took the request is unknown",
            { retryable: idempotent, cause: result.cause },
          );
        }
        case "timeout": {
          if (!last) break;
          throw new ModelCallError(`${what}: no answer within ${requestTimeoutMs} ms`, {
            retryable: idempotent,
          });
        }
      }
      await pause(tries);
    }
  }

  return {
    get: (path, schema) => call("GET", path, undefined, schema, true),
    post: (path, body, schema, { idempotent }) =>
      call("POST", path, JSON.stringify(body), schema, idempotent),
    async retrieve(requestId, schema) {
      const what = `retrieve_future ${requestId}`;
      const body = JSON.stringify({ request_id: requestId });
      let failuresInARow = 0;
      for (;;) {
        const result = await exchange("POST", "/retrieve_future", body, pollTimeoutMs);
        switch (result.kind) {
          case "answer": {
            if (result.status < 400) return parseJson(result.text, schema, `result of ${what}`);
            // 408: not ready yet, which is no failure however often it comes.
            if (result.status === 408) {
              failuresInARow = 0;
              continue;
            }
            failuresInARow += 1;
            if (!transientStatuses.has(result.status) || failuresInARow >= maxTries)
              throw failed(what, result.status, result.text);
            break;
          }
          case "refused":
            throw lost(what, result.cause);
          case "broken": {
            failuresInARow += 1;
            if (failuresInARow >= maxTries) throw lost(what, result.cause);
            break;
          }
          case "timeout":
            failuresInARow = 0;
            continue;
        }
        await pause(failuresInARow);
      }
    },
  };
}
