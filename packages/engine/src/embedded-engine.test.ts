import type { GenerateRequest } from "@memory-r1/spec";
import { beforeAll, describe, expect, it } from "vitest";
import { createEngineGenerator } from "./generator.ts";
import {
  connectSharedEngine,
  describeEngineConformance,
  type SharedEngineConnection,
} from "./testing/index.ts";

let engine: SharedEngineConnection;

beforeAll(async () => {
  engine = await connectSharedEngine();
});

describeEngineConformance("embedded, SmolLM2-135M", () =>
  Promise.resolve({
    client: engine.client,
    baseUrl: engine.baseUrl,
    token: engine.token,
    baseModel: engine.model.name,
    decode: (tokens) => engine.tokenizer.decode(tokens, { skipSpecialTokens: true }),
  }),
);

describe("createEngineGenerator over the embedded engine", () => {
  const request = (content: string, more: Partial<GenerateRequest> = {}): GenerateRequest => ({
    messages: [{ role: "user", content }],
    maxTokens: 6,
    temperature: 0,
    seed: 1,
    ...more,
  });

  it("answers a chat, obeys a constraint and keeps a refused request apart", async () => {
    const sessionId = await engine.client.createSession();
    const generator = createEngineGenerator({
      client: engine.client,
      tokenizer: engine.tokenizer,
      samplingSessionId: () =>
        engine.client.createSamplingSession(sessionId, { baseModel: engine.model.name }),
      description: engine.model.revision,
    });
    const [answer, constrained, refused, again] = await generator.generate([
      request("What is the capital of France?", { maxTokens: 12 }),
      request("Name a colour.", { count: 2, constraint: { type: "regex", value: "red|blue" } }),
      request("hello", { maxTokens: 10_000_000 }),
      request("What is the capital of France?", { maxTokens: 12 }),
    ]);
    // The model's well-known answer; what matters is that prompt and template were right.
    expect(answer).toMatchObject({ completions: [{ stopReason: "stop" }] });
    const [completion] = answer?.status === "completed" ? answer.completions : [];
    expect(completion?.text).toContain("Paris");
    expect(completion?.tokens?.at(-1)).toBe(engine.tokenizer.eosTokenIds[0]);
    expect(completion?.logProbs).toHaveLength(completion?.tokens?.length ?? -1);
    expect(again).toEqual(answer);
    const colours = constrained?.status === "completed" ? constrained.completions : [];
    expect(colours).toHaveLength(2);
    for (const { text } of colours) expect(text).toMatch(/^(red|blue)$/);
    expect(refused).toMatchObject({ status: "failed" });
  });
});
