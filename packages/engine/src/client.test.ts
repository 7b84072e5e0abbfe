import {
  ConfigError,
  DataFormatError,
  EngineLostError,
  ModelCallError,
  modelInputSchema,
} from "@memory-r1/spec";
import { afterEach, describe, expect, it } from "vitest";
import {
  createFutures,
  startFakeEngine,
  type FakeEngine,
  type Reaction,
  type SeenRequest,
} from "./__fixtures__/fake-engine.ts";
import { createEngineClient, type EngineClient, type SampleInput } from "./client.ts";

const forwardOutput = {
  loss_fn_output_type: "scalar",
  loss_fn_outputs: [{ logprobs: { data: [-1.5] } }],
  metrics: { "loss:sum": 1.5 },
};

const adam = {
  learning_rate: 1e-3,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-12,
  weight_decay: 0,
  grad_clip_norm: 1,
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

const sampleInput = (token: number): SampleInput => ({
  prompt: { chunks: [{ type: "encoded_text", tokens: [token] }] },
  num_samples: 1,
  sampling_params: { max_tokens: 4, temperature: 1, seed: 7 },
});

const sampleOutput = (token: number): Reaction => ({
  status: 200,
  body: { sequences: [{ stop_reason: "length", tokens: [token], logprobs: [-0.5] }] },
});

const promptToken = (request: SeenRequest): number =>
  modelInputSchema.parse(request.body.prompt).chunks[0]?.tokens[0] ?? -1;

let engine: FakeEngine | undefined;
afterEach(async () => {
  await engine?.close();
  engine = undefined;
});

/** Answers set-up calls; everything else goes to `handle`. */
async function start(
  handle: (request: SeenRequest, index: number) => Reaction | Promise<Reaction>,
  options: { requestTimeoutMs?: number; pollTimeoutMs?: number; signal?: AbortSignal } = {},
): Promise<{ client: EngineClient; engine: FakeEngine; modelId: string; samplerId: string }> {
  const running = await startFakeEngine((request, index) => {
    switch (request.path) {
      case "/create_session":
        return { status: 200, body: { session_id: "s" } };
      case "/create_model":
        return { status: 200, body: { model_id: "m", request_id: "model" } };
      case "/create_sampling_session":
        return { status: 200, body: { sampling_session_id: "sampler" } };
      case "/retrieve_future":
        return request.body.request_id === "model"
          ? { status: 200, body: { model_id: "m" } }
          : handle(request, index);
      default:
        return handle(request, index);
    }
  });
  engine = running;
  const client = createEngineClient({
    baseUrl: running.baseUrl,
    token: "secret",
    retryDelayMs: 1,
    ...options,
  });
  const sessionId = await client.createSession();
  const modelId = await client.createModel({
    sessionId,
    baseModel: "tiny",
    role: "policy",
    lora: { rank: 2, seed: 0 },
  });
  const samplerId = await client.createSamplingSession(sessionId, { baseModel: "tiny" });
  return { client, engine: running, modelId, samplerId };
}

const postsTo = (running: FakeEngine, path: string): readonly SeenRequest[] =>
  running.seen.filter((request) => request.path === path);

describe("calls of a model", () => {
  it("carry the token, are numbered from 1 and reach the engine in the order of the calls", async () => {
    const futures = createFutures();
    const {
      client,
      engine: running,
      modelId,
    } = await start(async (request) => {
      if (request.path === "/retrieve_future") return futures.retrieve(request);
      // The first answer is late: the second request must still wait for it.
      if (request.body.seq_id === 1) await new Promise((resolve) => setTimeout(resolve, 50));
      return futures.submit(
        request.path === "/optim_step"
          ? { status: 200, body: { metrics: { "grad_norm:last": 2 } } }
          : { status: 200, body: forwardOutput },
      );
    });
    const [output, metrics] = await Promise.all([
      client.forwardBackward(modelId, batch),
      client.optimStep(modelId, adam),
    ]);
    expect(output).toEqual(forwardOutput);
    expect(metrics).toEqual({ "grad_norm:last": 2 });
    const calls = running.seen.filter(({ path }) => /forward_backward|optim_step/.test(path));
    expect(calls.map(({ path, body }) => [path, body.seq_id])).toEqual([
      ["/forward_backward", 1],
      ["/optim_step", 2],
    ]);
    expect(running.seen.every(({ authorization }) => authorization === "Bearer secret")).toBe(true);
  });

  it("are repeated with the same number and body after a broken connection", async () => {
    const futures = createFutures();
    let broken = 0;
    const {
      client,
      engine: running,
      modelId,
    } = await start((request) => {
      if (request.path === "/retrieve_future") return futures.retrieve(request);
      if (broken++ < 2) return "break";
      return futures.submit({ status: 200, body: forwardOutput });
    });
    await expect(client.forwardBackward(modelId, batch)).resolves.toEqual(forwardOutput);
    const posts = postsTo(running, "/forward_backward");
    expect(posts).toHaveLength(3);
    expect(new Set(posts.map(({ body }) => JSON.stringify(body))).size).toBe(1);
    expect(posts[0]?.body.seq_id).toBe(1);
  });

  it("are repeated after a status that means not now, and fail at once after one that does not", async () => {
    const futures = createFutures();
    const statuses = [429, 503, 502];
    const {
      client,
      engine: running,
      modelId,
    } = await start((request) => {
      if (request.path === "/retrieve_future") return futures.retrieve(request);
      if (request.path === "/forward") return { status: 409, body: { detail: "seq_id was used" } };
      const status = statuses.shift();
      if (status !== undefined) return { status, body: { detail: "busy" } };
      return futures.submit({ status: 200, body: forwardOutput });
    });
    await expect(client.forwardBackward(modelId, batch)).resolves.toEqual(forwardOutput);
    expect(postsTo(running, "/forward_backward")).toHaveLength(4);
    const error = await client.forward(modelId, batch).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ModelCallError);
    expect(error).toMatchObject({
      status: 409,
      retryable: false,
      message: "POST /forward: the engine answered HTTP 409: seq_id was used",
    });
    expect(postsTo(running, "/forward")).toHaveLength(1);
  });

  it("give up after five tries", async () => {
    const {
      client,
      engine: running,
      modelId,
    } = await start((request) =>
      request.path === "/healthz"
        ? { status: 200, body: {} }
        : { status: 503, body: { detail: "no" } },
    );
    const error = await client.optimStep(modelId, adam).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ status: 503, retryable: true });
    expect(postsTo(running, "/optim_step")).toHaveLength(5);
  });

  it("are never repeated where the engine would do the work twice", async () => {
    const {
      client,
      engine: running,
      modelId,
    } = await start((request) =>
      request.path === "/healthz" ? { status: 200, body: {} } : "break",
    );
    const error = await client.saveWeights(modelId, "step-1").catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ModelCallError);
    expect(error).toMatchObject({ status: undefined, retryable: false });
    expect(postsTo(running, "/save_weights")).toHaveLength(1);
  });
});

describe("waiting for a result", () => {
  it("goes on after 408, a broken connection, a silent poll and a status that means not now", async () => {
    const polls: Reaction[] = [
      { status: 408, body: { detail: "not ready" } },
      "break",
      { status: 408, body: { detail: "not ready" } },
      "hang",
      { status: 503, body: { detail: "busy" } },
      { status: 200, body: forwardOutput },
    ];
    const {
      client,
      engine: running,
      modelId,
    } = await start(
      (request) =>
        request.path === "/retrieve_future"
          ? (polls.shift() ?? "break")
          : { status: 200, body: { request_id: "7" } },
      { pollTimeoutMs: 100 },
    );
    await expect(client.forward(modelId, batch)).resolves.toEqual(forwardOutput);
    expect(postsTo(running, "/retrieve_future").slice(1)).toHaveLength(6);
    expect(postsTo(running, "/forward")).toHaveLength(1);
  });

  it("never tires of 408", async () => {
    let polls = 0;
    const { client, modelId } = await start((request) => {
      if (request.path !== "/retrieve_future") return { status: 200, body: { request_id: "7" } };
      return ++polls < 40
        ? { status: 408, body: { detail: "not ready" } }
        : { status: 200, body: forwardOutput };
    });
    await expect(client.forward(modelId, batch)).resolves.toEqual(forwardOutput);
  });

  it("ends with the engine's reason when the work failed", async () => {
    const { client, modelId } = await start((request) =>
      request.path === "/retrieve_future"
        ? { status: 400, body: { detail: "target_tokens is longer than the input" } }
        : { status: 200, body: { request_id: "7" } },
    );
    await expect(client.forward(modelId, batch)).rejects.toMatchObject({
      status: 400,
      retryable: false,
      message:
        "retrieve_future 7: the engine answered HTTP 400: target_tokens is longer than the input",
    });
  });

  it("ends with EngineLostError when the engine goes away in the middle", async () => {
    const {
      client,
      engine: running,
      modelId,
    } = await start(async (request) => {
      if (request.path !== "/retrieve_future") return { status: 200, body: { request_id: "7" } };
      setTimeout(() => void running.close(), 20);
      return "hang";
    });
    await expect(client.forward(modelId, batch)).rejects.toBeInstanceOf(EngineLostError);
    engine = undefined;
  });

  it("ends with EngineLostError when every connection breaks", async () => {
    const { client, modelId } = await start((request) =>
      request.path === "/retrieve_future" ? "break" : { status: 200, body: { request_id: "7" } },
    );
    await expect(client.forward(modelId, batch)).rejects.toBeInstanceOf(EngineLostError);
  });

  it("ends with the abort signal's reason", async () => {
    const controller = new AbortController();
    const { client, modelId } = await start(
      (request) =>
        request.path === "/retrieve_future" ? "hang" : { status: 200, body: { request_id: "7" } },
      { signal: controller.signal },
    );
    const waiting = client.forward(modelId, batch);
    const reason = new Error("the user pressed Ctrl-C");
    setTimeout(() => controller.abort(reason), 20);
    await expect(waiting).rejects.toBe(reason);
    await expect(client.healthz()).rejects.toBe(reason);
  });
});

describe("answers of another form", () => {
  it("are errors that name the field", async () => {
    const { client, modelId } = await start((request) =>
      request.path === "/retrieve_future"
        ? { status: 200, body: { ...forwardOutput, metrics: { "loss:sum": "1.5" } } }
        : { status: 200, body: { request_id: "7" } },
    );
    const error = await client.forward(modelId, batch).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(DataFormatError);
    expect(String(error)).toContain("metrics.loss:sum");
  });

  it("are errors when they are no JSON, and error bodies may be anything", async () => {
    const { client, modelId } = await start((request) =>
      request.path === "/forward"
        ? { rawText: "<html>" }
        : { status: 500, body: { error: { code: 3 } } },
    );
    await expect(client.forward(modelId, batch)).rejects.toBeInstanceOf(DataFormatError);
    await expect(client.optimStep(modelId, adam)).rejects.toMatchObject({
      status: 500,
      retryable: true,
      message: 'POST /optim_step: the engine answered HTTP 500: {"error":{"code":3}}',
    });
  });
});

describe("sampleWave", () => {
  it("hands in every request before it waits, and answers in order", async () => {
    const futures = createFutures();
    const count = 100;
    let submitted = 0;
    const {
      client,
      engine: running,
      samplerId,
    } = await start((request) => {
      if (request.path === "/retrieve_future")
        return submitted === count ? futures.retrieve(request) : { status: 500, body: {} };
      submitted += 1;
      return futures.submit(sampleOutput(promptToken(request)));
    });
    const inputs = Array.from({ length: count }, (_, token) => sampleInput(token));
    const results = await client.sampleWave(samplerId, inputs);
    expect(
      results.map((result) =>
        result.status === "completed" ? result.output.sequences[0]?.tokens[0] : result.error,
      ),
    ).toEqual(inputs.map((_, token) => token));
    const posts = postsTo(running, "/asample");
    expect(new Set(posts.map(({ body }) => JSON.stringify(body.wave)))).toEqual(
      new Set([JSON.stringify({ id: `${samplerId}/1`, size: count })]),
    );
    const numbered = posts.map((post) => [promptToken(post), post.body.seq_id]);
    expect(numbered.every(([token, seqId]) => seqId === Number(token) + 1)).toBe(true);
  });

  it("sends the rest as a new wave when the engine refuses one of its requests", async () => {
    const futures = createFutures();
    const {
      client,
      engine: running,
      samplerId,
    } = await start((request) => {
      if (request.path === "/retrieve_future") return futures.retrieve(request);
      return promptToken(request) === 1
        ? { status: 400, body: { detail: "the prompt is too long" } }
        : futures.submit(sampleOutput(promptToken(request)));
    });
    const results = await client.sampleWave(samplerId, [0, 1, 2].map(sampleInput));
    expect(results.map(({ status }) => status)).toEqual(["completed", "failed", "completed"]);
    expect(results[2]).toMatchObject({ output: { sequences: [{ tokens: [2] }] } });
    expect(results[1]).toMatchObject({ error: { status: 400 } });
    expect(postsTo(running, "/asample").map(({ body }) => body.wave)).toContainEqual({
      id: `${samplerId}/4`,
      size: 2,
    });
  });

  it("keeps a failure of the work to its own request", async () => {
    const futures = createFutures();
    const { client, samplerId } = await start((request) => {
      if (request.path === "/retrieve_future") return futures.retrieve(request);
      return futures.submit(
        promptToken(request) === 0
          ? { status: 400, body: { detail: "bad grammar" } }
          : sampleOutput(promptToken(request)),
      );
    });
    const results = await client.sampleWave(samplerId, [0, 1].map(sampleInput));
    expect(results.map(({ status }) => status)).toEqual(["failed", "completed"]);
  });

  it("of nothing is nothing", async () => {
    const { client, engine: running, samplerId } = await start(() => "break");
    await expect(client.sampleWave(samplerId, [])).resolves.toEqual([]);
    expect(postsTo(running, "/asample")).toHaveLength(0);
  });

  it("ends as a whole when the engine is gone", async () => {
    const { client, engine: running, samplerId } = await start(() => "break");
    await running.close();
    await expect(client.sampleWave(samplerId, [sampleInput(1)])).rejects.toBeInstanceOf(
      EngineLostError,
    );
    engine = undefined;
  });
});

it("refuses ids that another client made", async () => {
  const { client } = await start(() => "break");
  await expect(client.forward("other", batch)).rejects.toBeInstanceOf(ConfigError);
  await expect(client.sample("other", sampleInput(1))).rejects.toBeInstanceOf(ConfigError);
  await expect(client.createSamplingSession("other", { baseModel: "tiny" })).rejects.toBeInstanceOf(
    ConfigError,
  );
});

it("says that no engine listens", async () => {
  const { client, engine: running } = await start(() => "break");
  await running.close();
  engine = undefined;
  await expect(client.healthz()).rejects.toThrow(/no engine answers at http:.*resume the run/);
});
