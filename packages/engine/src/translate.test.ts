import {
  ConfigError,
  ModelCallError,
  type Datum,
  type ForwardBackwardInput,
} from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { engineDialectNames, engineDialects, engineFeatures } from "./dialects.ts";
import { createTranslation, type EngineFacts, type Translation } from "./translate.ts";

const facts: EngineFacts = {
  maxContextLength: 16,
  vocabularySize: 100,
  eosTokenIds: [2],
  dtype: "float32",
  device: "cpu",
};
const jax = createTranslation("skyrl-jax", engineDialects["skyrl-jax"], facts);
const fsdp = createTranslation("skyrl-fsdp", engineDialects["skyrl-fsdp"], facts);

/** Prompt [5, 6, 7], completion of as many targets; suffix form. */
function datum(inputs: Readonly<Record<string, readonly number[]>>, targets = [8, 9]): Datum {
  const tensors = Object.fromEntries(
    Object.entries(inputs).map(([name, data]) => [name, { data: [...data] }]),
  );
  return {
    model_input: {
      chunks: [
        { type: "encoded_text", tokens: [5, 6, 7] },
        { type: "encoded_text", tokens: targets.slice(0, -1) },
      ],
    },
    loss_fn_inputs: { target_tokens: { data: targets }, ...tensors },
  };
}

const numbersOf = (translation: Translation, input: ForwardBackwardInput, index = 0) =>
  Object.fromEntries(
    Object.entries(translation.pass(input).input.data[index]?.loss_fn_inputs ?? {}).map(
      ([name, tensor]) => [name, tensor?.data],
    ),
  );

/** What the JAX backend makes of a batch whose losses per token are -logprob * advantage: its own two means. */
function jaxGradientScale(translation: Translation, input: ForwardBackwardInput): number {
  const data = translation.pass(input).input.data.map((one) => one.loss_fn_inputs);
  const perSequence = data.map(({ weights, advantages }) => {
    const mask = weights?.data ?? [];
    const counted = mask.reduce((total, value) => total + value, 0);
    const total = mask.reduce((sum, value, at) => sum + value * (advantages?.data[at] ?? 0), 0);
    return total / Math.max(counted, 1e-9);
  });
  return perSequence.reduce((total, value) => total + value, 0) / data.length;
}

describe("the dialect table", () => {
  it("has a reason for everything that an engine lacks, and one engine that lacks nothing", () => {
    expect(Object.keys(engineDialects)).toEqual(engineDialectNames);
    expect(engineDialects["memory-r1"].lacks).toEqual({});
    for (const name of engineDialectNames)
      for (const [feature, reason] of Object.entries(engineDialects[name].lacks)) {
        expect(Object.keys(engineFeatures)).toContain(feature);
        expect(reason.length).toBeGreaterThan(10);
      }
  });

  it("leaves the protocol's own engine alone", () => {
    const own = createTranslation("memory-r1", engineDialects["memory-r1"], undefined);
    const input: ForwardBackwardInput = { data: [datum({})], loss_fn: "cross_entropy" };
    expect(own.pass(input).input).toBe(input);
    expect(own.capabilities).toBe("declared");
    expect(own.model("critic", { rank: 4, seed: 1, alpha: 8 })).toEqual({
      rank: 4,
      seed: 1,
      alpha: 8,
    });
  });
});

describe("losses of the JAX backend", () => {
  it("become sums: advantages are scaled by the tokens of their sequence and by the sequences", () => {
    const input: ForwardBackwardInput = {
      loss_fn: "importance_sampling",
      data: [
        datum({ logprobs: [-1, -2], advantages: [1, 3] }),
        datum({ logprobs: [-1, -2, -3], advantages: [2, 2, 0.5] }, [8, 9, 10]),
      ],
    };
    // Two sequences: of two tokens, scaled by 2 · 2; of three, by 3 · 2. Two positions of the prompt stand before them.
    expect(numbersOf(jax, input, 0)).toEqual({
      target_tokens: [0, 0, 8, 9],
      weights: [0, 0, 1, 1],
      logprobs: [0, 0, -1, -2],
      advantages: [0, 0, 4, 12],
    });
    expect(numbersOf(jax, input, 1).advantages).toEqual([0, 0, 12, 12, 3]);
    // 1 + 3 + 2 + 2 + 0.5: its means give the plain sum again.
    expect(jaxGradientScale(jax, input)).toBeCloseTo(8.5, 12);
  });

  it("take weights into the advantages, and leave masked tokens out", () => {
    const input: ForwardBackwardInput = {
      loss_fn: "ppo",
      loss_fn_config: { clip_low_threshold: 0.9 },
      data: [datum({ logprobs: [-1, -2], advantages: [1, 3], weights: [0, 0.5] })],
    };
    expect(numbersOf(jax, input)).toMatchObject({
      weights: [0, 0, 0, 1],
      advantages: [0, 0, 0, 1.5],
    });
    expect(jax.pass(input).input.loss_fn_config).toEqual({ clip_low_threshold: 0.9 });
    expect(() =>
      jax.pass({
        ...input,
        data: [datum({ logprobs: [0, 0], advantages: [1, 1], weights: [1, -1] })],
      }),
    ).toThrow(/negative weights/);
  });

  it("send cross-entropy as cispo with its ratio held at 1, signed weights included", () => {
    const input: ForwardBackwardInput = {
      loss_fn: "cross_entropy",
      data: [datum({ weights: [2, -1] }), datum({ weights: [0, 0] })],
    };
    const { input: wire } = jax.pass(input);
    expect(wire).toMatchObject({
      loss_fn: "cispo",
      loss_fn_config: { clip_low_threshold: 1, clip_high_threshold: 1 },
    });
    expect(numbersOf(jax, input)).toMatchObject({
      advantages: [0, 0, 8, -4],
      logprobs: [0, 0, 0, 0],
    });
    expect(jaxGradientScale(jax, input)).toBeCloseTo(1, 12);
  });

  it("come back unscaled, at the positions that were asked", () => {
    const input: ForwardBackwardInput = {
      loss_fn: "cross_entropy",
      data: [datum({ weights: [2, 1] })],
    };
    // Scale 2 · 1: losses of 2 · (0.5 · 2) and 2 · 1.5 on the wire.
    const output = jax.pass(input).read({
      loss_fn_output_type: "scalar",
      metrics: {},
      loss_fn_outputs: [
        { logprobs: { data: [-9, -9, -0.5, -1.5] }, elementwise_loss: { data: [0, 0, 2, 3] } },
      ],
    });
    expect(output.loss_fn_outputs).toEqual([{ logprobs: { data: [-0.5, -1.5] } }]);
    expect(output.metrics).toEqual({ "loss:sum": 2.5 });
    expect(() =>
      jax.pass(input).read({ loss_fn_output_type: "scalar", metrics: {}, loss_fn_outputs: [] }),
    ).toThrow(ModelCallError);
  });
});

describe("losses of the FSDP backend", () => {
  it("are sums already: only the targets are made full", () => {
    const input: ForwardBackwardInput = {
      loss_fn: "ppo",
      data: [datum({ logprobs: [-1, -2], advantages: [1, 3] })],
    };
    expect(numbersOf(fsdp, input)).toEqual({
      target_tokens: [0, 0, 8, 9],
      weights: [0, 0, 1, 1],
      logprobs: [0, 0, -1, -2],
      advantages: [0, 0, 1, 3],
    });
  });
});

describe("what an engine would do silently wrong", () => {
  it.each([
    ["targets", datum({}, [8, 9, 10, 11, 12, 13]), "context"],
    ["an unknown token", datum({}, [100, 9]), "vocabulary"],
    ["another length", datum({ weights: [1] }), "1 weights for 2 targets"],
  ])("is refused before it is sent: %s", (_, one, message) => {
    const short = createTranslation("skyrl-jax", engineDialects["skyrl-jax"], {
      ...facts,
      maxContextLength: 7,
    });
    expect(() => short.pass({ data: [one], loss_fn: "cross_entropy" })).toThrow(message);
    expect(() => short.pass({ data: [one], loss_fn: "cross_entropy" })).toThrow(ModelCallError);
  });

  it("is refused for missing tensors, unknown losses and settings, and constraints", () => {
    expect(() => jax.pass({ data: [datum({})], loss_fn: "ppo" })).toThrow(
      "no logprobs, which ppo needs",
    );
    expect(() => jax.pass({ data: [datum({})], loss_fn: "ppo_critic" })).toThrow(ConfigError);
    const policy = {
      loss_fn: "ppo",
      data: [datum({ logprobs: [-1, -2], advantages: [1, 3] })],
    } as const;
    const passed = (settings: Record<string, number>) =>
      jax.pass({ ...policy, data: [...policy.data], loss_fn_config: settings }).input
        .loss_fn_config;
    expect(() => passed({ kl_coefficient: 1 })).toThrow(/no setting "kl_coefficient"/);
    expect(() => passed({ dual_clip: 3 })).toThrow(/no setting "dual_clip"/);
    // What is off is not sent, and what would set it is no matter then.
    expect(passed({ dual_clip: 0, kl_coefficient: 0, kl_estimator: 3 })).toBeUndefined();
    expect(passed({ dual_clip: 0, clip_low_threshold: 0.7 })).toEqual({ clip_low_threshold: 0.7 });
    const constraint = { type: "regex", value: "a" } as const;
    expect(() =>
      jax.pass({ data: [{ ...datum({}), constraint }], loss_fn: "cross_entropy" }),
    ).toThrow(ConfigError);
  });

  it("is refused for optimisers and adapters that it would replace by its own", () => {
    const adam = { learning_rate: 1e-4, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0 };
    expect(jax.adam({ ...adam, grad_clip_norm: 0 })).toMatchObject(adam);
    expect(() => jax.adam({ ...adam, grad_clip_norm: 1 })).toThrow(
      /grad_clip_norm 0 whatever is sent, not 1/,
    );
    expect(() => fsdp.adam({ ...adam, beta2: 0.95, grad_clip_norm: 1 })).toThrow(/beta2 0.999/);
    expect(jax.model("policy", { rank: 4, seed: 1 })).toEqual({ rank: 4, seed: 1 });
    expect(() => jax.model("policy", { rank: 4, seed: 1, alpha: 16 })).toThrow(/alpha 32, not 16/);
    expect(() => jax.model("policy", { rank: 4, seed: 1, train_mlp: false })).toThrow(/train_/);
    expect(() => jax.model("critic", { rank: 4, seed: 1 })).toThrow(/ppo_critic/);
  });
});

describe("samples", () => {
  const input = {
    prompt: { chunks: [{ type: "encoded_text" as const, tokens: [5, 6] }] },
    num_samples: 1,
    sampling_params: { max_tokens: 4, temperature: 1, seed: 2 ** 31 - 1, stop: [7] },
    prompt_logprobs: undefined,
  };

  it("name the model's own stop tokens and keep to the seeds that the engine has", () => {
    // 2^31 - 1 modulo 2^31 - 1024.
    expect(jax.sample(input).sampling_params).toMatchObject({ stop: [7, 2], seed: 1023 });
  });

  it("that do not fit into the context, or are empty, are refused", () => {
    const long = { ...input, sampling_params: { ...input.sampling_params, max_tokens: 15 } };
    expect(() => jax.sample(long)).toThrow(/exceed the model's context of 16/);
    expect(() => jax.sample({ ...input, prompt: { chunks: [] } })).toThrow(/empty/);
    expect(() => fsdp.sample({ ...input, prompt_logprobs: true })).toThrow(ConfigError);
  });

  it("have a null for the first token of the prompt", () => {
    const sequences = [{ stop_reason: "stop" as const, tokens: [2], logprobs: [-1] }];
    expect(jax.sampled({ sequences, prompt_logprobs: [-3] }).prompt_logprobs).toEqual([null, -3]);
    expect(jax.sampled({ sequences }).prompt_logprobs).toBeUndefined();
  });
});

it("needs the model's files where the engine checks nothing", () => {
  const blind = createTranslation("skyrl-jax", engineDialects["skyrl-jax"], undefined);
  expect(() => blind.pass({ data: [datum({})], loss_fn: "cross_entropy" })).toThrow(
    /give its folder/,
  );
});
