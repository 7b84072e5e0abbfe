import { InferenceClient } from "@huggingface/inference";
import {
  ConfigError,
  ModelCallError,
  parseJson,
  type Constraint,
  type GenerateRequest,
  type GenerateResult,
  type TextGenerator,
} from "@memory-r1/spec";
import pLimit from "p-limit";
import { z } from "zod";
import { createCaller, type CallStatistics, type InferenceTarget } from "./call.ts";

export interface InferenceGeneratorOptions extends InferenceTarget {
  /** For manifests and caches; default: the model and where it runs. */
  readonly description?: string;
}

/** A TextGenerator that counts its calls. */
export interface InferenceGenerator extends TextGenerator {
  statistics(): CallStatistics;
}

/** What is read of a chat completion; servers add much that differs. */
const chatCompletionSchema = z.looseObject({
  choices: z.array(
    z.looseObject({
      finish_reason: z.string().nullish(),
      message: z.looseObject({ content: z.string().nullish() }),
    }),
  ),
});

const jsonSchemaSchema = z.record(z.string(), z.unknown());

/** `finish_reason` of OpenAI-compatible servers and text-generation-inference. Undefined: the text is not whole. */
function stopReasonOf(finishReason: string | null | undefined): "stop" | "length" | undefined {
  switch (finishReason) {
    case "length":
      return "length";
    case "stop":
    case "eos_token":
    case "stop_sequence":
      return "stop";
    default:
      return undefined;
  }
}

function responseFormatOf(constraint: Constraint) {
  if (constraint.type === "regex")
    throw new ConfigError(
      "a chat server cannot hold a text to a regular expression: use the embedded engine, or switch constraints off",
    );
  const schema = parseJson(constraint.value, jsonSchemaSchema, "JSON schema of a constraint");
  return { type: "json_schema" as const, json_schema: { name: "reply", schema, strict: true } };
}

/**
 * A TextGenerator over any chat server: Hugging Face Inference, an OpenAI-compatible endpoint, the embedded engine.
 * A call that fails after its retries is a `failed` result with the reason. It gives texts only, no tokens.
 * Errors: ConfigError for a regular-expression constraint, the abort signal's reason.
 */
export function createInferenceGenerator(options: InferenceGeneratorOptions): InferenceGenerator {
  const client = new InferenceClient(options.accessToken);
  const caller = createCaller(options);
  const limit = pLimit(options.concurrency ?? 8);
  const where = options.endpointUrl ?? options.provider ?? "auto";

  async function complete(request: GenerateRequest): Promise<GenerateResult> {
    const count = request.count ?? 1;
    const responseFormat =
      request.constraint === undefined ? undefined : responseFormatOf(request.constraint);
    let attempts = 0;
    try {
      const answer: unknown = await caller.call(`chat with ${options.model}`, (signal) => {
        attempts += 1;
        return client.chatCompletion(
          {
            model: options.model,
            ...(options.endpointUrl === undefined ? {} : { endpointUrl: options.endpointUrl }),
            ...(options.provider === undefined ? {} : { provider: options.provider }),
            messages: request.messages.map(({ role, content }) => ({ role, content })),
            max_tokens: request.maxTokens,
            temperature: request.temperature,
            seed: request.seed,
            ...(count === 1 ? {} : { n: count }),
            ...(responseFormat === undefined ? {} : { response_format: responseFormat }),
          },
          // Its own retry of 503 has no limit and no pause.
          { retry_on_error: false, signal },
        );
      });
      return { ...readAnswer(answer, count), attempts };
    } catch (error) {
      if (error instanceof ModelCallError)
        return { status: "failed", reason: error.message, attempts };
      throw error;
    }
  }

  return {
    description: options.description ?? `${options.model} (${where})`,
    statistics: () => caller.statistics(),
    generate: (requests) => Promise.all(requests.map((request) => limit(() => complete(request)))),
  };
}

/** A server's answer as a result; what is missing or cut short makes it `failed`, never a wrong text. */
function readAnswer(answer: unknown, count: number): GenerateResult {
  const parsed = chatCompletionSchema.safeParse(answer);
  if (!parsed.success)
    return {
      status: "failed",
      reason: `the answer is no chat completion: ${parsed.error.issues[0]?.message ?? "other form"}`,
    };
  const { choices } = parsed.data;
  if (choices.length !== count)
    return {
      status: "failed",
      reason: `asked for ${count} completions, got ${choices.length}: this server may not support n`,
    };
  const completions = [];
  for (const choice of choices) {
    const stopReason = stopReasonOf(choice.finish_reason);
    if (stopReason === undefined)
      return {
        status: "failed",
        reason: `the completion ended for the reason "${choice.finish_reason ?? "none"}"`,
      };
    completions.push({ text: choice.message.content ?? "", stopReason });
  }
  return { status: "completed", completions };
}
