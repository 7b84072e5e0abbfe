import type { GenerateRequest, TextGenerator } from "@memory-r1/spec";

export interface ListedReplies extends TextGenerator {
  readonly requests: readonly GenerateRequest[];
  /** The last message of each request, in order. */
  prompts(): readonly string[];
}

/** A model that gives these replies one after another, objects as JSON, and fails once they are used up. */
export function listedReplies(...replies: readonly (string | object)[]): ListedReplies {
  const requests: GenerateRequest[] = [];
  return {
    description: "listed replies",
    requests,
    prompts: () => requests.map(({ messages }) => messages.at(-1)?.content ?? ""),
    generate: (given) =>
      Promise.resolve(
        given.map((request) => {
          const reply = replies[requests.length];
          requests.push(request);
          if (reply === undefined) return { status: "failed", reason: "the list has ended" };
          const text = typeof reply === "string" ? reply : JSON.stringify(reply);
          return { status: "completed", completions: [{ text, stopReason: "stop" }] };
        }),
      ),
  };
}
