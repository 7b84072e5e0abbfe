import type { GenerateRequest, GenerateResult, TextGenerator } from "@memory-r1/spec";

export interface ScriptedGenerator extends TextGenerator {
  /** The batches that were asked for, the one in which it broke off included. */
  readonly batches: readonly (readonly GenerateRequest[])[];
}

/**
 * Replies by a function of the request; undefined is a failed call. `breakAfter` batches it throws, which stands for a
 * process that is killed there.
 */
export function createScriptedGenerator(
  reply: (request: GenerateRequest) => string | undefined,
  { breakAfter = Number.POSITIVE_INFINITY }: { readonly breakAfter?: number } = {},
): ScriptedGenerator {
  const batches: (readonly GenerateRequest[])[] = [];
  return {
    description: "scripted",
    batches,
    generate: (requests) => {
      batches.push(requests);
      if (batches.length > breakAfter) return Promise.reject(new Error("killed"));
      return Promise.resolve(requests.map((request) => toResult(reply(request))));
    },
  };
}

function toResult(text: string | undefined): GenerateResult {
  return text === undefined
    ? { status: "failed", reason: "HTTP 503" }
    : { status: "completed", completions: [{ text, stopReason: "stop" }] };
}

/** The last message of a request: what varies. */
export function lastMessage(request: GenerateRequest): string {
  return request.messages.at(-1)?.content ?? "";
}
