import { EngineLostError, ModelCallError, type GenerateRequest } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import type { SampleInput, SampleResult } from "./client.ts";
import { createEngineGenerator } from "./generator.ts";
import type { ChatTokenizer } from "./tokenizer.ts";

/** Each character is a token, "." ends the turn and "~" is special. */
const tokenizer: ChatTokenizer = {
  encode: (text) => text.split("").map((character) => character.charCodeAt(0)),
  renderChat: (messages) => messages.map(({ content }) => content).join("|"),
  encodeChat: (messages) => tokenizer.encode(tokenizer.renderChat(messages)),
  decode: (ids, options) =>
    String.fromCharCode(...ids).replaceAll(options?.skipSpecialTokens === true ? "~" : "", ""),
  eosTokenIds: [".".charCodeAt(0)],
};

const request = (content: string, more: Partial<GenerateRequest> = {}): GenerateRequest => ({
  messages: [{ role: "user", content }],
  maxTokens: 8,
  temperature: 1,
  seed: 3,
  ...more,
});

const said = (text: string, stopReason: "stop" | "length"): SampleResult => ({
  status: "completed",
  output: {
    sequences: [
      {
        stop_reason: stopReason,
        tokens: [...tokenizer.encode(text)],
        logprobs: text.split("").map(() => -0.5),
      },
    ],
  },
});

function build(
  answer: (input: SampleInput, index: number) => SampleResult,
  more: { maxWaveSize?: number; samplingSessionId?: () => string } = {},
) {
  const waves: { samplingSessionId: string; inputs: readonly SampleInput[] }[] = [];
  const generator = createEngineGenerator({
    client: {
      sampleWave: (samplingSessionId, inputs) => {
        waves.push({ samplingSessionId, inputs });
        return Promise.resolve(inputs.map(answer));
      },
    },
    tokenizer,
    samplingSessionId: "sampler",
    description: "fake",
    ...more,
  });
  return { generator, waves };
}

describe("createEngineGenerator", () => {
  it("sends tokens and parameters, and gives back text without the stop token, tokens with it", async () => {
    const { generator, waves } = build(() => said("hi~.", "stop"));
    const constraint = { type: "regex", value: "hi" } as const;
    const [result] = await generator.generate([request("ab", { count: 2, constraint })]);
    expect(waves).toEqual([
      {
        samplingSessionId: "sampler",
        inputs: [
          {
            prompt: { chunks: [{ type: "encoded_text", tokens: [97, 98] }] },
            num_samples: 2,
            sampling_params: { max_tokens: 8, temperature: 1, seed: 3, constraint },
          },
        ],
      },
    ]);
    expect(result).toEqual({
      status: "completed",
      completions: [
        {
          text: "hi",
          stopReason: "stop",
          tokens: [104, 105, 126, 46],
          logProbs: [-0.5, -0.5, -0.5, -0.5],
        },
      ],
      promptTokens: [97, 98],
    });
  });

  it("keeps a last token that did not end the turn", async () => {
    const { generator } = build((_, index) =>
      index === 0 ? said("a.", "length") : said("ab", "stop"),
    );
    const results = await generator.generate([request("x"), request("y")]);
    expect(
      results.map((result) => result.status === "completed" && result.completions[0]?.text),
    ).toEqual(["a.", "ab"]);
  });

  it("splits many requests into waves and keeps their order", async () => {
    const { generator, waves } = build(
      (input) => said(String.fromCharCode(...(input.prompt.chunks[0]?.tokens ?? [])), "length"),
      { maxWaveSize: 2 },
    );
    const results = await generator.generate(
      ["a", "b", "c", "d", "e"].map((text) => request(text)),
    );
    expect(waves.map(({ inputs }) => inputs.length)).toEqual([2, 2, 1]);
    expect(
      results.map((result) => result.status === "completed" && result.completions[0]?.text),
    ).toEqual(["a", "b", "c", "d", "e"]);
  });

  it("asks for the sampling session at every call", async () => {
    let version = 0;
    const { generator, waves } = build(() => said("x", "stop"), {
      samplingSessionId: () => `sampler-${++version}`,
    });
    await generator.generate([request("a")]);
    await generator.generate([request("a")]);
    await expect(generator.generate([])).resolves.toEqual([]);
    expect(waves.map(({ samplingSessionId }) => samplingSessionId)).toEqual([
      "sampler-1",
      "sampler-2",
    ]);
  });

  it("makes a failed request a failed result, and lets the loss of the engine through", async () => {
    const { generator } = build((_, index) =>
      index === 1
        ? {
            status: "failed",
            error: new ModelCallError("the prompt is too long", { status: 400, retryable: false }),
          }
        : said("x", "stop"),
    );
    const results = await generator.generate([request("a"), request("b")]);
    expect(results[0]?.status).toBe("completed");
    expect(results[1]).toEqual({ status: "failed", reason: "the prompt is too long" });

    const lost = createEngineGenerator({
      client: { sampleWave: () => Promise.reject(new EngineLostError("gone")) },
      tokenizer,
      samplingSessionId: "sampler",
      description: "fake",
    });
    await expect(lost.generate([request("a")])).rejects.toBeInstanceOf(EngineLostError);
  });
});
