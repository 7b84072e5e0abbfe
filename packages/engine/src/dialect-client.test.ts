import { ConfigError } from "@memory-r1/spec";
import { afterEach, describe, expect, it } from "vitest";
import { startFakeEngine, type FakeEngine, type SeenRequest } from "./__fixtures__/fake-engine.ts";
import { createEngineClient, type EngineClient } from "./client.ts";
import { createCheckRunner, engineChecks } from "./engine-checks.ts";

const adam = {
  learning_rate: 1e-3,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-8,
  weight_decay: 0,
  grad_clip_norm: 0,
};
const batch = {
  data: [
    {
      model_input: { chunks: [{ type: "encoded_text" as const, tokens: [1, 2] }] },
      loss_fn_inputs: { target_tokens: { data: [3] } },
    },
  ],
  loss_fn: "cross_entropy" as const,
};
const sample = {
  prompt: { chunks: [{ type: "encoded_text" as const, tokens: [1] }] },
  num_samples: 1,
  sampling_params: { max_tokens: 4, temperature: 1, seed: 7 },
};

let engine: FakeEngine | undefined;
afterEach(async () => {
  await engine?.close();
  engine = undefined;
});

/** A server that answers as SkyRL does, and whose results are named by the call. */
async function start(
  react: (request: SeenRequest) => "break" | undefined = () => undefined,
): Promise<{ client: EngineClient; modelId: string; sessionId: string }> {
  let samplers = 0;
  const results: Record<string, unknown> = {
    "/create_model": {},
    "/unload_model": {},
    "/forward": {
      loss_fn_output_type: "scalar",
      loss_fn_outputs: [{ logprobs: { data: [-8, -1.5] }, elementwise_loss: { data: [0, 1.5] } }],
      metrics: {},
    },
    "/optim_step": { metrics: { "skyrl.ai/grad_norm": 4 } },
    "/asample": { sequences: [{ stop_reason: "length", tokens: [5], logprobs: [-1] }] },
  };
  results["/forward_backward"] = results["/forward"];
  engine = await startFakeEngine((request) => {
    const { path, body } = request;
    const reaction = react(request);
    if (reaction !== undefined) return reaction;
    if (path === "/retrieve_future") {
      const call = String(body.request_id);
      if (call !== "/save_weights_for_sampler") return { status: 200, body: results[call] ?? {} };
      samplers += 1;
      return { status: 200, body: { path: null, sampling_session_id: `sampler-${samplers}` } };
    }
    switch (path) {
      case "/create_session":
        return { status: 200, body: { session_id: "s" } };
      case "/get_server_capabilities":
        return { status: 200, body: { supported_models: [{ model_name: "/models/tiny" }] } };
      case "/create_model":
        return { status: 200, body: { model_id: "m", request_id: path } };
      case "/create_sampling_session":
        return { status: 200, body: { sampling_session_id: "base" } };
      default:
        return { status: 200, body: { request_id: path } };
    }
  });
  const client = createEngineClient({
    baseUrl: engine.baseUrl,
    token: "none",
    retryDelayMs: 1,
    dialect: "skyrl-jax",
    facts: {
      maxContextLength: 64,
      vocabularySize: 100,
      eosTokenIds: [2],
      dtype: "float32",
      device: "cpu",
    },
  });
  const sessionId = await client.createSession();
  const modelId = await client.createModel({
    sessionId,
    baseModel: "/models/tiny",
    role: "policy",
    lora: { rank: 2, seed: 0 },
  });
  return { client, modelId, sessionId };
}

const postsTo = (path: string): readonly SeenRequest[] =>
  engine?.seen.filter((request) => request.path === path) ?? [];

describe("a client of SkyRL's JAX backend", () => {
  it("answers in the engine's place what it does not say of itself", async () => {
    const { client } = await start();
    expect(await client.getServerCapabilities()).toMatchObject({
      supported_models: [{ model_name: "/models/tiny" }],
      reduction: "sum",
      waves: false,
      max_context_length: 64,
    });
  });

  it("gives losses and metrics the protocol's names", async () => {
    const { client, modelId } = await start();
    expect(await client.forwardBackward(modelId, batch)).toEqual({
      loss_fn_output_type: "scalar",
      loss_fn_outputs: [{ logprobs: { data: [-1.5] } }],
      metrics: { "loss:sum": 1.5 },
    });
    expect(await client.optimStep(modelId, adam)).toEqual({ "grad_norm:last": 4 });
  });

  it("takes one forwardBackward for each step, and one that was refused does not count", async () => {
    const { client, modelId } = await start();
    const unknown = { ...batch, loss_fn_config: { kl_coefficient: 1 } };
    await expect(client.forwardBackward(modelId, unknown)).rejects.toBeInstanceOf(ConfigError);
    await client.forwardBackward(modelId, batch);
    await expect(client.forwardBackward(modelId, batch)).rejects.toThrow(/divides by the number/);
    await client.optimStep(modelId, adam);
    await client.forwardBackward(modelId, batch);
    expect(postsTo("/forward_backward")).toHaveLength(2);
  });

  it("never repeats a request that may have been carried out", async () => {
    const { client, modelId } = await start(({ path }) =>
      path === "/forward_backward" ? "break" : undefined,
    );
    await expect(client.forwardBackward(modelId, batch)).rejects.toMatchObject({
      retryable: false,
    });
    expect(postsTo("/forward_backward")).toHaveLength(1);
  });

  it("samples a model's newest weights only, while they stay as they are", async () => {
    const { client, modelId } = await start();
    const first = await client.saveWeightsForSampler(modelId);
    await client.sampleWave(first, [sample]);
    const second = await client.saveWeightsForSampler(modelId);
    await expect(client.sample(first, sample)).rejects.toThrow(/older than the weights/);
    await client.sample(second, sample);
    await client.optimStep(modelId, adam);
    await expect(client.sampleWave(second, [sample])).rejects.toThrow(/older than the weights/);
    for (const { body } of postsTo("/asample")) {
      expect(body.sampling_params).toMatchObject({ stop: [2] });
      expect(body).not.toHaveProperty("wave");
    }
  });

  it("refuses to sample kept weights and to start from them", async () => {
    const { client, modelId, sessionId } = await start();
    await expect(
      client.createSamplingSession(sessionId, { modelPath: "tinker://m/x" }),
    ).rejects.toThrow(/share an adapter's place/);
    await expect(client.loadWeights(modelId, "tinker://m/x", { optimizer: false })).rejects.toThrow(
      /training checkpoints only/,
    );
  });
});

describe("the conformance checks", () => {
  it("name each part once, and fail, pass or are not offered", async () => {
    const names = engineChecks.map(({ group, name }) => `${group} ${name}`);
    expect(new Set(names).size).toBe(names.length);
    const { client } = await start();
    const run = createCheckRunner({
      client,
      baseUrl: client.baseUrl,
      token: "none",
      baseModel: "/models/tiny",
      decode: () => "",
    });
    const outcome = async (name: string) => {
      const check = engineChecks.find((one) => one.name.includes(name));
      if (check === undefined) throw new Error(`no check ${name}`);
      return run(check);
    };
    expect(await outcome("name the protocol")).toEqual({ status: "passed" });
    expect(await outcome("adds up gradients")).toMatchObject({ status: "not offered" });
    // A server that answers everything alike does not learn.
    expect(await outcome("falls when steps are taken")).toMatchObject({ status: "failed" });
    expect(postsTo("/unload_model")).toHaveLength(1);
  });
});
