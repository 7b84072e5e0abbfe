import { createEngineGenerator } from "@memory-r1/engine";
import { connectSharedEngine, type SharedEngineConnection } from "@memory-r1/engine/testing";
import {
  describeRerankerContract,
  describeTextGeneratorContract,
} from "@memory-r1/models/contract";
import {
  createInferenceEmbedding,
  createInferenceGenerator,
  createInferenceReranker,
} from "@memory-r1/models";
import type { GenerateRequest } from "@memory-r1/spec";
import { beforeAll, describe, expect, it } from "vitest";

let engine: SharedEngineConnection;

beforeAll(async () => {
  engine = await connectSharedEngine();
});

/** More tokens than any context holds. */
const refused: GenerateRequest = {
  messages: [{ role: "user", content: "hello" }],
  maxTokens: 10_000_000,
  temperature: 0,
  seed: 1,
};

describeTextGeneratorContract("engine client, embedded engine", async () => {
  const sessionId = await engine.client.createSession();
  const samplingSessionId = await engine.client.createSamplingSession(sessionId, {
    baseModel: engine.model.name,
  });
  return {
    generator: createEngineGenerator({
      client: engine.client,
      tokenizer: engine.tokenizer,
      samplingSessionId,
      description: engine.model.revision,
      maxWaveSize: 2,
    }),
    refused,
  };
});

describeTextGeneratorContract("@huggingface/inference, embedded engine", async () => {
  return {
    generator: createInferenceGenerator({
      model: engine.model.name,
      endpointUrl: engine.baseUrl,
      accessToken: engine.token,
    }),
    refused,
  };
});

describeTextGeneratorContract("@huggingface/inference streaming, embedded engine", async () => {
  return {
    generator: createInferenceGenerator({
      model: engine.model.name,
      endpointUrl: engine.baseUrl,
      accessToken: engine.token,
      onPiece: () => undefined,
    }),
    refused,
  };
});

describeRerankerContract("the embedded engine, a cross-encoder with random weights", async () => ({
  reranker: createInferenceReranker({
    model: "tiny-reranker",
    endpointUrl: `${engine.baseUrl}/rerank`,
    accessToken: engine.token,
  }),
}));

describe("the embedded engine as an endpoint", () => {
  it("streams the text that it gives otherwise", async () => {
    const pieces: string[] = [];
    const target = {
      model: engine.model.name,
      endpointUrl: engine.baseUrl,
      accessToken: engine.token,
    };
    const request: GenerateRequest = {
      messages: [{ role: "user", content: "Say the word red." }],
      maxTokens: 8,
      temperature: 0,
      seed: 1,
    };
    const whole = await createInferenceGenerator(target).generate([request]);
    const onPiece = ({ text }: { readonly text: string }) => pieces.push(text);
    const streamed = await createInferenceGenerator({ ...target, onPiece }).generate([request]);
    expect(streamed).toEqual(whole);
    expect(whole).toMatchObject([{ completions: [{ text: pieces.join("") }] }]);
  });

  it("says that a key is wrong, once", async () => {
    const generator = createInferenceGenerator({
      model: engine.model.name,
      endpointUrl: engine.baseUrl,
      accessToken: "wrong",
    });
    const [result] = await generator.generate([{ ...refused, maxTokens: 1 }]);
    expect(result).toMatchObject({ status: "failed", attempts: 1 });
    expect(JSON.stringify(result)).toContain("is the access token right");
  });
});

describe("the two ways to the embedded engine", () => {
  it("give the same greedy text: prompts are the same tokens in TypeScript and in Python", async () => {
    const sessionId = await engine.client.createSession();
    const request: GenerateRequest = {
      messages: [{ role: "user", content: "Was machst du? 😀<|im_end|> Antworte kurz: ½ × 7 =" }],
      maxTokens: 12,
      temperature: 0,
      seed: 1,
    };
    const [ours] = await createEngineGenerator({
      client: engine.client,
      tokenizer: engine.tokenizer,
      samplingSessionId: () =>
        engine.client.createSamplingSession(sessionId, { baseModel: engine.model.name }),
      description: "base",
    }).generate([request]);
    const [theirs] = await createInferenceGenerator({
      model: engine.model.name,
      endpointUrl: engine.baseUrl,
      accessToken: engine.token,
    }).generate([request]);
    if (ours?.status !== "completed" || theirs?.status !== "completed")
      throw new Error(`${JSON.stringify(ours)} ${JSON.stringify(theirs)}`);
    expect(ours.completions[0]?.text).toBe(theirs.completions[0]?.text);
  });
});

describe("the reranker of the embedded engine", () => {
  it("is told by the capabilities, with its limits", async () => {
    const { reranker } = await engine.client.getServerCapabilities();
    expect(reranker).toMatchObject({ max_tokens: 64, max_texts: 1024 });
    expect(reranker?.model_name).toMatch(/tiny-reranker$/);
  });

  it("refuses a wrong token at once", async () => {
    const reranker = createInferenceReranker({
      model: "tiny-reranker",
      endpointUrl: `${engine.baseUrl}/rerank`,
      accessToken: "wrong",
    });
    await expect(reranker.score("a", ["b"])).rejects.toMatchObject({
      status: 401,
      retryable: false,
    });
  });
});

describe("embeddings of the embedded engine", () => {
  it("are unit vectors of 384 numbers in which related texts are near", async () => {
    const model = createInferenceEmbedding({
      model: engine.embedding.name,
      endpointUrl: `${engine.baseUrl}/embed`,
      accessToken: engine.token,
      dimension: 384,
      batchSize: 2,
    });
    const [dog, puppy, bank] = await model.embed([
      "A dog plays in the park.",
      "A puppy is playing outside.",
      "The central bank raised interest rates.",
    ]);
    if (dog === undefined || puppy === undefined || bank === undefined)
      throw new Error("a vector is missing");
    const similarity = (left: Float32Array, right: Float32Array): number =>
      left.reduce((total, value, index) => total + value * (right[index] ?? 0), 0);
    expect(similarity(dog, dog)).toBeCloseTo(1, 5);
    expect(similarity(dog, puppy)).toBeGreaterThan(similarity(dog, bank) + 0.3);
  });
});
