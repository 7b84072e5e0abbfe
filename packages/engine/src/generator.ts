import {
  ModelCallError,
  type GeneratedText,
  type GenerateRequest,
  type GenerateResult,
  type SampleOutput,
  type TextGenerator,
} from "@memory-r1/spec";
import type { EngineClient, SampleInput, SampleResult } from "./client.ts";
import type { ChatTokenizer } from "./tokenizer.ts";

export interface EngineGeneratorOptions {
  readonly client: Pick<EngineClient, "sampleWave">;
  readonly tokenizer: ChatTokenizer;
  /** The weights to sample from. A function is asked at every call, for weights that training replaces. */
  readonly samplingSessionId: string | (() => string | Promise<string>);
  /** Model and weights, for manifests and caches. */
  readonly description: string;
  /** Prompts that run as one batch; default 64. More of them are sent as further waves, in order. */
  readonly maxWaveSize?: number;
}

/** The text of a completion without the token that ended it; a constraint may end one without such a token. */
function decodeSequence(
  sequence: SampleOutput["sequences"][number],
  tokenizer: ChatTokenizer,
): GeneratedText {
  const { tokens, logprobs: logProbs } = sequence;
  const last = tokens.at(-1);
  const endsWithStopToken =
    sequence.stop_reason === "stop" && last !== undefined && tokenizer.eosTokenIds.includes(last);
  return {
    text: tokenizer.decode(endsWithStopToken ? tokens.slice(0, -1) : tokens, {
      skipSpecialTokens: true,
    }),
    stopReason: sequence.stop_reason,
    tokens,
    logProbs,
  };
}

/**
 * A TextGenerator over an engine's sampling session. The requests of one call run as one wave, so that the result
 * depends on the requests alone, not on timing. A request that the engine rejects is `failed`; EngineLostError and the
 * abort signal's reason are thrown, because nothing after them can succeed.
 */
export function createEngineGenerator(options: EngineGeneratorOptions): TextGenerator {
  const { client, tokenizer } = options;
  const maxWaveSize = options.maxWaveSize ?? 64;

  function toSampleInput(request: GenerateRequest, promptTokens: readonly number[]): SampleInput {
    return {
      prompt: { chunks: [{ type: "encoded_text", tokens: [...promptTokens] }] },
      num_samples: request.count ?? 1,
      sampling_params: {
        max_tokens: request.maxTokens,
        temperature: request.temperature,
        seed: request.seed,
        ...(request.constraint === undefined ? {} : { constraint: request.constraint }),
      },
    };
  }

  function toResult(sample: SampleResult, promptTokens: readonly number[]): GenerateResult {
    if (sample.status === "failed") return { status: "failed", reason: sample.error.message };
    return {
      status: "completed",
      completions: sample.output.sequences.map((sequence) => decodeSequence(sequence, tokenizer)),
      promptTokens,
    };
  }

  return {
    description: options.description,
    async generate(requests) {
      if (requests.length === 0) return [];
      const samplingSessionId =
        typeof options.samplingSessionId === "string"
          ? options.samplingSessionId
          : await options.samplingSessionId();
      const results: GenerateResult[] = [];
      for (let start = 0; start < requests.length; start += maxWaveSize) {
        const wave = requests.slice(start, start + maxWaveSize);
        const prompts = wave.map((request) => tokenizer.encodeChat(request.messages));
        const samples = await client.sampleWave(
          samplingSessionId,
          wave.map((request, position) => toSampleInput(request, prompts[position] ?? [])),
        );
        if (samples.length !== wave.length)
          throw new ModelCallError(
            `a wave of ${wave.length} prompts was answered with ${samples.length} results`,
            { retryable: false },
          );
        samples.forEach((sample, position) => {
          results.push(toResult(sample, prompts[position] ?? []));
        });
      }
      return results;
    },
  };
}
