import {
  ConfigError,
  type ForwardBackwardInput,
  type ForwardBackwardOutput,
  type ServerCapabilities,
} from "@memory-r1/spec";
import { expect, it } from "vitest";
import { createCriticEngine } from "./critic-adapter.ts";
import type { PolicyClient } from "./engine-adapter.ts";

const capabilities: ServerCapabilities = {
  supported_models: [{ model_name: "tiny" }],
  engine: { name: "fake", version: "1", dialect: "memory-r1", protocol_version: 1 },
  loss_fns: ["ppo_critic"],
  reduction: "sum",
  roles: ["policy", "critic"],
  full_finetune: false,
  base_model_sampling: true,
  adam_fields: [],
  target_alignment: ["full"],
  constraints: [],
  shared_prefix_packing: true,
  waves: true,
  max_context_length: 100,
  dtype: "float32",
  device: "cpu",
};

/** The value of the k-th target, from 1, is k. */
function createFakeClient(able: Partial<ServerCapabilities> = {}) {
  const calls: { readonly name: string; readonly input: ForwardBackwardInput }[] = [];
  const created: string[] = [];
  const answer = (name: string, input: ForwardBackwardInput): ForwardBackwardOutput => {
    calls.push({ name, input });
    return {
      loss_fn_output_type: "scalar",
      loss_fn_outputs: input.data.map((datum) => ({
        values: { data: datum.loss_fn_inputs.target_tokens.data.map((_, index) => index + 1) },
      })),
      metrics: {},
    };
  };
  const unused = () => Promise.reject(new Error("a critic has no use for this call"));
  const client: PolicyClient = {
    getServerCapabilities: async () => ({ ...capabilities, ...able }),
    createModel: async ({ role }) => {
      created.push(role);
      return "critic-1";
    },
    forward: async (_modelId, input) => answer("forward", input),
    forwardBackward: async (_modelId, input) => answer("forwardBackward", input),
    optimStep: async () => ({ "grad_norm:last": 0.5 }),
    saveWeights: async (modelId, name) => `${modelId}/weights/${name}`,
    loadWeights: async () => undefined,
    saveWeightsForSampler: unused,
    saveNamedWeightsForSampler: unused,
    sampleWave: unused,
    unloadModel: unused,
  };
  return { client, calls, created };
}

const options = { sessionId: "session", baseModel: "tiny", lora: { rank: 4, seed: 1 } };

it("asks a critic for values of completions and teaches it returns, without their grammar", async () => {
  const { client, calls, created } = createFakeClient();
  const critic = await createCriticEngine({ client, ...options });
  expect(created).toEqual(["critic"]);
  const decision = {
    promptTokens: [5, 6, 7],
    completionTokens: [8, 9],
    constraint: { type: "regex", value: "a" } as const,
  };
  // In full alignment the two positions of the completion come behind two that predict the prompt.
  expect(await critic.values([decision])).toEqual([[3, 4]]);
  const result = await critic.forwardBackward(
    [{ ...decision, values: [0.5, 0.25], returns: [1, 2], weights: [0.125, 0.125] }],
    0.5,
  );
  expect(result.values).toEqual([[3, 4]]);
  expect(calls.map(({ name, input }) => [name, input.loss_fn, input.loss_fn_config])).toEqual([
    ["forward", "ppo_critic", undefined],
    ["forwardBackward", "ppo_critic", { value_clip: 0.5 }],
  ]);
  const datum = calls[1]?.input.data[0];
  expect(datum).not.toHaveProperty("constraint");
  expect(datum?.loss_fn_inputs.values?.data).toEqual([0, 0, 0.5, 0.25]);
  expect(datum?.loss_fn_inputs.returns?.data).toEqual([0, 0, 1, 2]);
  expect(datum?.loss_fn_inputs.weights?.data).toEqual([0, 0, 0.125, 0.125]);
  // Values are wanted of positions of weight 0 nowhere: an engine skips them.
  expect(calls[0]?.input.data[0]?.loss_fn_inputs.weights?.data).toEqual([0, 0, 1, 1]);
  const adam = {
    learning_rate: 1,
    beta1: 0,
    beta2: 0,
    eps: 1,
    weight_decay: 0,
    grad_clip_norm: 0,
  };
  expect(await critic.optimStep(adam)).toEqual({ gradientNorm: 0.5 });
  expect(await critic.saveState("x")).toBe("critic-1/weights/x");
});

it("refuses an engine without critics", async () => {
  const missing: readonly Partial<ServerCapabilities>[] = [
    { roles: ["policy"] },
    { loss_fns: ["ppo"] },
    { reduction: "mean_per_sequence" },
  ];
  for (const able of missing) {
    const { client } = createFakeClient(able);
    await expect(createCriticEngine({ client, ...options })).rejects.toThrow(ConfigError);
  }
});
