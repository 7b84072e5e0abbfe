import type {
  GenerateRequest,
  GenerateResult,
  GeneratedText,
  TextGenerator,
} from "@memory-r1/spec";

export * from "./json-server.ts";

/** What a script says to one completion of a request: its text, the whole completion, or a failed call. */
export type ScriptedReply = string | GeneratedText | { readonly failed: string };

export interface ScriptedGenerator extends TextGenerator {
  /** Every request so far, in the order in which they came. */
  readonly requests: readonly GenerateRequest[];
}

/**
 * A TextGenerator without a model, for tests: `reply` is asked once for each completion. A text is cut off after
 * `maxTokens` words, so that lengths and stop reasons look like a model's.
 */
export function createScriptedGenerator(
  reply: (request: GenerateRequest, completion: number) => ScriptedReply | Promise<ScriptedReply>,
  options: { readonly description?: string } = {},
): ScriptedGenerator {
  const requests: GenerateRequest[] = [];

  function toCompletion(text: string, maxTokens: number): GeneratedText {
    const words = text.match(/\s*\S+/gu) ?? [];
    return words.length > maxTokens
      ? { text: words.slice(0, maxTokens).join(""), stopReason: "length" }
      : { text, stopReason: "stop" };
  }

  async function answer(request: GenerateRequest): Promise<GenerateResult> {
    const completions: GeneratedText[] = [];
    for (let completion = 0; completion < (request.count ?? 1); completion++) {
      const said = await reply(request, completion);
      if (typeof said !== "string" && "failed" in said)
        return { status: "failed", reason: said.failed };
      completions.push(typeof said === "string" ? toCompletion(said, request.maxTokens) : said);
    }
    return { status: "completed", completions };
  }

  return {
    description: options.description ?? "scripted",
    requests,
    async generate(given) {
      const results: GenerateResult[] = [];
      // One after another: a script may count.
      for (const request of given) {
        requests.push(request);
        results.push(await answer(request));
      }
      return results;
    },
  };
}
