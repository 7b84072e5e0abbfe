import type { GenerateRequest, TextGenerator } from "@memory-r1/spec";

export interface ScriptedModel extends TextGenerator {
  /** Every request so far, in order. */
  readonly requests: readonly GenerateRequest[];
}

/** A model that says what `reply` gives for a request. */
export function createScriptedModel(reply: (request: GenerateRequest) => string): ScriptedModel {
  const requests: GenerateRequest[] = [];
  return {
    description: "scripted",
    requests,
    generate: (asked) => {
      requests.push(...asked);
      return Promise.resolve(
        asked.map((request) => ({
          status: "completed",
          completions: [{ text: reply(request), stopReason: "stop" }],
        })),
      );
    },
  };
}

/** A reply that calls a function, in the form that systems with functions ask for. */
export function toolCall(name: string, given: Readonly<Record<string, unknown>>): string {
  return JSON.stringify({ thoughts: `I call ${name}.`, function: name, arguments: given });
}
