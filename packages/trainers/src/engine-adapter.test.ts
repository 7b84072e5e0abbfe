import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ChatTokenizer } from "@memory-r1/engine";
import {
  ConfigError,
  ModelCallError,
  type ForwardBackwardInput,
  type ForwardBackwardOutput,
  type ServerCapabilities,
} from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import type { TrainingSequence } from "./datums.ts";
import {
  createCheckpointRemover,
  createPolicyEngine,
  type PolicyClient,
} from "./engine-adapter.ts";

const capabilities: ServerCapabilities = {
  supported_models: [{ model_name: "tiny" }],
  engine: { name: "fake", version: "1", dialect: "memory-r1", protocol_version: 1 },
  loss_fns: ["importance_sampling", "ppo"],
  reduction: "sum",
  roles: ["policy"],
  full_finetune: false,
  base_model_sampling: true,
  adam_fields: [],
  target_alignment: ["full", "suffix"],
  constraints: ["regex"],
  shared_prefix_packing: true,
  waves: true,
  max_context_length: 100,
  dtype: "float32",
  device: "cpu",
};

/** One token per letter; token 0 ends a turn. */
const tokenizer: ChatTokenizer = {
  encode: (text) => Array.from(text, (letter) => letter.codePointAt(0) ?? 0),
  encodeChat: (messages) =>
    messages.flatMap((message) =>
      Array.from(message.content, (letter) => letter.codePointAt(0) ?? 0),
    ),
  renderChat: (messages) => messages.map((message) => message.content).join(""),
  decode: (ids) => String.fromCodePoint(...ids),
  eosTokenIds: [0],
};

interface Call {
  readonly name: string;
  readonly modelId: string;
  readonly input: ForwardBackwardInput;
}

function createFakeClient(overrides: Partial<PolicyClient> = {}) {
  const calls: Call[] = [];
  const weights: string[] = [];
  let models = 0;
  let sessions = 0;
  /** Log-probability -k and entropy k at the k-th target from 1. */
  const answer = (input: ForwardBackwardInput): ForwardBackwardOutput => ({
    loss_fn_output_type: "scalar",
    loss_fn_outputs: input.data.map((datum) => ({
      logprobs: { data: datum.loss_fn_inputs.target_tokens.data.map((_, index) => -index - 1) },
      entropy: { data: datum.loss_fn_inputs.target_tokens.data.map((_, index) => index + 1) },
    })),
    metrics: { "tokens_computed:sum": 5, "tokens_unpacked:sum": 9 },
  });
  const client: PolicyClient = {
    getServerCapabilities: async () => capabilities,
    createModel: async () => `model-${models++}`,
    unloadModel: async (modelId) => {
      weights.push(`unload ${modelId}`);
    },
    forward: async (modelId, input) => {
      calls.push({ name: "forward", modelId, input });
      return answer(input);
    },
    forwardBackward: async (modelId, input) => {
      calls.push({ name: "forwardBackward", modelId, input });
      return answer(input);
    },
    optimStep: async () => ({ "grad_norm:last": 0.5 }),
    saveWeights: async (modelId, name) => `${modelId}/weights/${name}`,
    loadWeights: async (modelId, path) => {
      weights.push(`load ${path} into ${modelId}`);
    },
    saveWeightsForSampler: async () => `sampling-${sessions++}`,
    saveNamedWeightsForSampler: async (modelId, name) => `${modelId}/sampler_weights/${name}`,
    sampleWave: async (sessionId, inputs) =>
      inputs.map((input) => ({
        status: "completed",
        output: {
          sequences: Array.from({ length: input.num_samples }, () => ({
            stop_reason: "stop",
            tokens: [...tokenizer.encode(sessionId), 0],
            logprobs: [],
          })),
        },
      })),
    ...overrides,
  };
  return { client, calls, weights };
}

const create = (client: PolicyClient) =>
  createPolicyEngine({
    client,
    sessionId: "session",
    baseModel: "tiny",
    lora: { rank: 4, seed: 1 },
    tokenizer,
  });

const sequence: TrainingSequence = {
  promptTokens: [1, 2, 3],
  completionTokens: [4, 5],
  logProbs: [-1, -1],
  advantages: [1, 1],
};

describe("createPolicyEngine", () => {
  it("samples from the weights of the last refresh, and says so", async () => {
    const engine = await create(createFakeClient().client);
    const request = { messages: [], maxTokens: 1, temperature: 0, seed: 1 } as const;
    const textOf = async () => {
      const [result] = await engine.generate([request]);
      return result?.status === "completed" ? result.completions[0]?.text : result?.reason;
    };
    expect(await textOf()).toBe("sampling-0");
    expect(await textOf()).toBe("sampling-0");
    const before = engine.description;
    await engine.refreshSampler();
    expect(await textOf()).toBe("sampling-1");
    expect(engine.description).not.toBe(before);
  });

  it("sends suffix targets where the engine takes them, full ones otherwise", async () => {
    const suffix = createFakeClient();
    const result = await (
      await create(suffix.client)
    ).forwardBackward([sequence], {
      kind: "importance_sampling",
    });
    expect(suffix.calls[0]?.input.data[0]?.loss_fn_inputs.target_tokens.data).toEqual([4, 5]);
    expect(result).toEqual({
      logProbs: [[-1, -2]],
      entropies: [[1, 2]],
      tokensComputed: 5,
      tokensUnpacked: 9,
    });

    const full = createFakeClient({
      getServerCapabilities: async () => ({ ...capabilities, target_alignment: ["full"] }),
    });
    const fullResult = await (
      await create(full.client)
    ).forwardBackward([sequence], {
      kind: "ppo",
      clipLow: 0.1,
      clipHigh: 0.3,
    });
    const input = full.calls[0]?.input;
    expect(input?.data[0]?.loss_fn_inputs.target_tokens.data).toEqual([0, 0, 4, 5]);
    // The completion is the last two of four positions.
    expect(fullResult.logProbs).toEqual([[-3, -4]]);
    expect(input?.loss_fn).toBe("ppo");
    expect(input?.loss_fn_config).toEqual({ clip_low_threshold: 0.9, clip_high_threshold: 1.3 });
  });

  it("imitates by weighted cross-entropy, under the completion's grammar", async () => {
    const { client, calls } = createFakeClient();
    const constraint = { type: "regex", value: "a|b" } as const;
    const result = await (
      await create(client)
    ).imitate([
      { promptTokens: [1, 2], completionTokens: [3, 4], weights: [0.5, 0.25], constraint },
    ]);
    expect(result.logProbs).toEqual([[-1, -2]]);
    const [call] = calls;
    expect(call?.input.loss_fn).toBe("cross_entropy");
    expect(call?.input.data[0]).toMatchObject({
      constraint,
      loss_fn_inputs: { target_tokens: { data: [3, 4] }, weights: { data: [0.5, 0.25] } },
    });
    expect(call?.input.data[0]?.loss_fn_inputs).not.toHaveProperty("logprobs");
  });

  it("encodes a turn up to the token that ends it, where the template writes it behind the prompt", async () => {
    const letters = (text: string) => Array.from(text, (letter) => letter.codePointAt(0) ?? 0);
    const withTemplate = (encodeChat: ChatTokenizer["encodeChat"]) =>
      createPolicyEngine({
        client: createFakeClient().client,
        sessionId: "session",
        baseModel: "tiny",
        lora: { rank: 4, seed: 1 },
        tokenizer: { ...tokenizer, encodeChat },
      });
    /** Every turn is its role's letter, its text, token 0 and a line break, as in ChatML. */
    const chat: ChatTokenizer["encodeChat"] = (messages, options) => [
      ...messages.flatMap(({ role, content }) => [
        ...letters(role.slice(0, 1) + content),
        0,
        ...letters("\n"),
      ]),
      ...(options?.addGenerationPrompt === false ? [] : letters("a")),
    ];
    const engine = await withTemplate(chat);
    expect(engine.encodeCompletion([{ role: "user", content: "q" }], "yé")).toEqual({
      promptTokens: [...letters("uq"), 0, ...letters("\na")],
      completionTokens: [...letters("yé"), 0],
    });
    const wrong: readonly ChatTokenizer["encodeChat"][] = [
      // A template that opens the turn in another way than it writes it.
      (messages, options) =>
        options?.addGenerationPrompt === false
          ? chat(messages, options)
          : [...chat(messages, { addGenerationPrompt: false }), 7],
      // One that does not end it.
      (messages, options) => chat(messages, options).filter((token) => token !== 0),
    ];
    for (const template of wrong) {
      const other = await withTemplate(template);
      expect(() => other.encodeCompletion([{ role: "user", content: "q" }], "y")).toThrow(
        ConfigError,
      );
    }
  });

  it("asks an adapter that is never trained for the reference, under the same constraint", async () => {
    const { client, calls } = createFakeClient();
    const engine = await create(client);
    const constraint = { type: "regex", value: "a|b" } as const;
    expect(await engine.referenceLogProbs([{ ...sequence, constraint }])).toEqual([[-1, -2]]);
    await engine.referenceLogProbs([sequence]);
    expect(calls.map((call) => [call.name, call.modelId])).toEqual([
      ["forward", "model-1"],
      ["forward", "model-1"],
    ]);
    expect(calls[0]?.input.data[0]?.constraint).toEqual(constraint);
  });

  it("loads kept weights into a new model once the old one has been trained, which it lets go", async () => {
    const { client, calls, weights } = createFakeClient();
    const engine = await create(client);
    await engine.loadSamplerWeights("first");
    await engine.forwardBackward([sequence], { kind: "importance_sampling" });
    await engine.loadSamplerWeights("best");
    expect(weights).toEqual([
      "load first into model-0",
      "load best into model-1",
      "unload model-0",
    ]);
    await engine.forwardBackward([sequence], { kind: "importance_sampling" });
    expect(calls.map(({ modelId }) => modelId)).toEqual(["model-0", "model-1"]);
    expect(await engine.saveState("now")).toBe("model-1/weights/now");
  });

  it("gives the gradient's norm where the engine does", async () => {
    const adam = {
      learning_rate: 1,
      beta1: 0,
      beta2: 0,
      eps: 0,
      weight_decay: 0,
      grad_clip_norm: 0,
    };
    expect(await (await create(createFakeClient().client)).optimStep(adam)).toEqual({
      gradientNorm: 0.5,
    });
    const silent = createFakeClient({ optimStep: async () => ({}) });
    expect(await (await create(silent.client)).optimStep(adam)).toEqual({});
  });

  it("refuses engines that would train something else", async () => {
    const mean = createFakeClient({
      getServerCapabilities: async () => ({ ...capabilities, reduction: "mean_per_sequence" }),
    });
    await expect(create(mean.client)).rejects.toThrow(ConfigError);
    const poor = createFakeClient({
      getServerCapabilities: async () => ({ ...capabilities, loss_fns: ["ppo"] }),
    });
    await expect(create(poor.client)).rejects.toThrow(/importance_sampling/);
  });

  it("refuses an answer with too few positions", async () => {
    const short = createFakeClient({
      forwardBackward: async () => ({
        loss_fn_output_type: "scalar",
        loss_fn_outputs: [{ logprobs: { data: [-1] } }],
        metrics: {},
      }),
    });
    const engine = await create(short.client);
    await expect(
      engine.forwardBackward([sequence], { kind: "importance_sampling" }),
    ).rejects.toThrow(ModelCallError);
  });
});

describe("createCheckpointRemover", () => {
  it("deletes the folder of a path, and no other", async () => {
    const root = await mkdtemp(join(tmpdir(), "memory-r1-remove-"));
    const weights = join(root, "model_1", "weights");
    await mkdir(join(weights, "a"), { recursive: true });
    await writeFile(join(weights, "a", "adapter.bin"), "x");
    await mkdir(join(weights, "b"));
    const remove = createCheckpointRemover(root);
    await remove("memory-r1://model_1/weights/a");
    await remove("memory-r1://model_1/weights/never-there");
    expect(await readdir(weights)).toEqual(["b"]);
    await expect(remove("memory-r1://model_1/weights/..")).rejects.toThrow(ConfigError);
    await expect(remove("tinker://model_1/weights/b")).rejects.toThrow(ConfigError);
    await rm(root, { recursive: true });
  });
});
