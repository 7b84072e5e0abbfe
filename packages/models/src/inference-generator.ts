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
import {
  createCaller,
  type CallStatistics,
  type InferenceTarget,
  type TryOptions,
} from "./call.ts";

export interface InferenceGeneratorOptions extends InferenceTarget {
  /** For manifests and caches; default: the model and where it runs. */
  readonly description?: string;
  /** Told the text as it is written; with it every call is streamed. The results are the same. */
  readonly onPiece?: (piece: TextPiece) => void;
}

/** A piece of a reply that is still being written. */
export interface TextPiece {
  readonly request: GenerateRequest;
  /** Which of the request's completions, from 0. */
  readonly completion: number;
  /** From 1. A call that breaks off is tried again and begins anew: pieces of an earlier try are void. */
  readonly attempt: number;
  readonly text: string;
}

export interface GenerationStatistics extends CallStatistics {
  /** Replies that were to be held to a form and were not, because the endpoint refuses it. */
  readonly unconstrained: number;
}

/** A TextGenerator that counts its calls. */
export interface InferenceGenerator extends TextGenerator {
  statistics(): GenerationStatistics;
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

/** What is read of one server-sent event of a streamed completion. */
const chunkSchema = z.looseObject({
  choices: z.array(
    z.looseObject({
      index: z.int().nonnegative(),
      delta: z.looseObject({ content: z.string().nullish() }).nullish(),
      finish_reason: z.string().nullish(),
    }),
  ),
});

/** What a server answers that does not know `response_format`, or not this schema. */
const refusalStatuses: ReadonlySet<number | undefined> = new Set([400, 422, 501]);

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
  if (constraint.type !== "json_schema")
    throw new ConfigError(
      `a chat server cannot hold a text to ${constraint.type === "regex" ? "a regular expression" : "signatures of tools"}: ` +
        "use the embedded engine, or switch constraints off",
    );
  const schema = parseJson(constraint.value, jsonSchemaSchema, "JSON schema of a constraint");
  return { type: "json_schema" as const, json_schema: { name: "reply", schema, strict: true } };
}

type ResponseFormat = ReturnType<typeof responseFormatOf>;
type Completed = { readonly result: GenerateResult; readonly failedWith?: number | undefined };

/**
 * A TextGenerator over any chat server: Hugging Face Inference, an OpenAI-compatible endpoint, the embedded engine.
 * A call that fails after its retries is a `failed` result with the reason; what is a failure and what is tried again
 * stands in docs/models.md. It gives texts only, no tokens.
 * A JSON schema goes out as `response_format`. An endpoint that refuses it is asked once more without, and from then on
 * without at once; such replies are counted as `unconstrained`.
 * Errors: ConfigError for a regular-expression constraint, the abort signal's reason.
 */
export function createInferenceGenerator(options: InferenceGeneratorOptions): InferenceGenerator {
  const client = new InferenceClient(options.accessToken);
  const caller = createCaller(options);
  const limit = pLimit(options.concurrency ?? 8);
  const where = options.endpointUrl ?? options.provider ?? "auto";
  const refusedConstraints = new Set<string>();
  let unconstrained = 0;

  function argumentsOf(request: GenerateRequest, responseFormat: ResponseFormat | undefined) {
    const count = request.count ?? 1;
    return {
      model: options.model,
      ...(options.endpointUrl === undefined ? {} : { endpointUrl: options.endpointUrl }),
      ...(options.provider === undefined ? {} : { provider: options.provider }),
      messages: request.messages.map(({ role, content }) => ({ role, content })),
      max_tokens: request.maxTokens,
      temperature: request.temperature,
      seed: request.seed,
      ...(count === 1 ? {} : { n: count }),
      ...(responseFormat === undefined ? {} : { response_format: responseFormat }),
    };
  }

  async function stream(
    request: GenerateRequest,
    given: ReturnType<typeof argumentsOf>,
    tryOptions: TryOptions,
    onText: (completion: number, text: string) => void,
  ): Promise<unknown> {
    const choices = Array.from({ length: request.count ?? 1 }, () => {
      const finish: { reason: string | undefined } = { reason: undefined };
      return { pieces: Array<string>(), finish };
    });
    for await (const event of client.chatCompletionStream(given, tryOptions)) {
      const chunk = chunkSchema.safeParse(event);
      if (!chunk.success)
        throw new ModelCallError(
          `chat with ${options.model}: a piece of the answer has another form: ${chunk.error.issues[0]?.message ?? ""}`,
          { retryable: false, cause: chunk.error },
        );
      for (const { index, delta, finish_reason: reason } of chunk.data.choices) {
        const choice = choices[index];
        if (choice === undefined) continue;
        if (typeof reason === "string") choice.finish.reason = reason;
        const text = delta?.content ?? "";
        if (text === "") continue;
        choice.pieces.push(text);
        onText(index, text);
      }
    }
    if (choices.some(({ finish }) => finish.reason === undefined))
      throw new ModelCallError(`chat with ${options.model}: the streamed answer broke off`, {
        retryable: true,
      });
    return {
      choices: choices.map(({ pieces, finish }) => ({
        finish_reason: finish.reason,
        message: { content: pieces.join("") },
      })),
    };
  }

  async function ask(
    request: GenerateRequest,
    responseFormat: ResponseFormat | undefined,
  ): Promise<Completed> {
    const given = argumentsOf(request, responseFormat);
    const { onPiece } = options;
    let attempts = 0;
    try {
      const answer: unknown = await caller.call(`chat with ${options.model}`, (tryOptions) => {
        attempts += 1;
        if (onPiece === undefined) return client.chatCompletion(given, tryOptions);
        const attempt = attempts;
        return stream(request, given, tryOptions, (completion, text) =>
          onPiece({ request, completion, attempt, text }),
        );
      });
      return { result: { ...readAnswer(answer, request.count ?? 1), attempts } };
    } catch (error) {
      if (error instanceof ModelCallError)
        return {
          result: { status: "failed", reason: error.message, attempts },
          failedWith: error.status,
        };
      throw error;
    }
  }

  /** Without the form that the request asks for. */
  async function completeFreely(request: GenerateRequest): Promise<GenerateResult> {
    const { result } = await ask(request, undefined);
    if (result.status === "completed") unconstrained += 1;
    return result;
  }

  async function complete(request: GenerateRequest): Promise<GenerateResult> {
    const { constraint } = request;
    const responseFormat = constraint === undefined ? undefined : responseFormatOf(constraint);
    if (constraint === undefined) return (await ask(request, undefined)).result;
    if (refusedConstraints.has(constraint.value)) return completeFreely(request);
    const held = await ask(request, responseFormat);
    if (!refusalStatuses.has(held.failedWith)) return held.result;
    const free = await completeFreely(request);
    // A refusal without the form as well: it was not the form that was refused.
    if (free.status === "failed") return held.result;
    refusedConstraints.add(constraint.value);
    options.logger?.warn(
      `${options.model} (${where}) does not take this response_format; its replies are not held to a form from here on`,
    );
    return { ...free, attempts: (held.result.attempts ?? 1) + (free.attempts ?? 1) };
  }

  return {
    description: options.description ?? `${options.model} (${where})`,
    statistics: () => ({ ...caller.statistics(), unconstrained }),
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
