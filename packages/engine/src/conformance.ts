import {
  ConfigError,
  ModelCallError,
  createModelResponseSchema,
  createSessionResponseSchema,
  engineProtocolVersion,
  futureSchema,
  lossFunctions,
  type AdamParams,
  type Constraint,
  type Datum,
  type ForwardBackwardInput,
  type ForwardBackwardOutput,
  type LossFunction,
  type ModelRole,
  type SampleOutput,
} from "@memory-r1/spec";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { createEngineClient, type EngineClient, type SampleInput } from "./client.ts";
import { createTransport } from "./transport.ts";

/** An engine under test, with a model of at least 256 tokens in float32. */
export interface ConformanceSubject {
  readonly baseUrl: string;
  readonly token: string;
  /** Its name at the engine. */
  readonly baseModel: string;
  /** Text of sampled tokens, without special tokens: constraints speak of text. */
  readonly decode: (tokens: readonly number[]) => string;
  readonly stop?: () => Promise<void>;
}

/** Sampler against trainer, packed against separate: float32 (docs/engine-protocol.md). */
const tolerance = 1e-4;

const prompt = [65, 66, 67, 68, 69, 70, 71, 72];
const completion = [80, 81, 82, 83];

const adam = (learningRate: number): AdamParams => ({
  learning_rate: learningRate,
  beta1: 0.9,
  beta2: 0.95,
  eps: 1e-8,
  weight_decay: 0,
  grad_clip_norm: 0,
});

type Inputs = Omit<Datum["loss_fn_inputs"], "target_tokens">;
type NumbersOf = Readonly<Partial<Record<keyof Inputs, readonly number[]>>>;

/** A datum in suffix form: targets are the completion, the input is prompt + completion without its last token. */
function datum(numbers: NumbersOf = {}, targets = completion, constraint?: Constraint): Datum {
  const inputs = Object.fromEntries(
    Object.entries(numbers).map(([name, data]) => [name, { data: [...data] }]),
  );
  const rest = targets.slice(0, -1);
  return {
    model_input: {
      chunks: [prompt, ...(rest.length === 0 ? [] : [rest])].map((tokens) => ({
        type: "encoded_text" as const,
        tokens: [...tokens],
      })),
    },
    loss_fn_inputs: { target_tokens: { data: [...targets] }, ...inputs },
    ...(constraint === undefined ? {} : { constraint }),
  };
}

const batch = (lossFunction: LossFunction, data: readonly Datum[]): ForwardBackwardInput => ({
  data: [...data],
  loss_fn: lossFunction,
});

function outputOf(
  output: ForwardBackwardOutput,
  name: "logprobs" | "values" | "entropy",
  index = 0,
): readonly number[] {
  return output.loss_fn_outputs[index]?.[name]?.data ?? [];
}

function lossOf(output: ForwardBackwardOutput): number {
  return output.metrics["loss:sum"] ?? Number.NaN;
}

/** The largest absolute difference; infinite where the lengths differ. */
function differenceOf(found: readonly number[], expected: readonly number[]): number {
  if (found.length !== expected.length) return Infinity;
  return Math.max(0, ...expected.map((value, index) => Math.abs(value - (found[index] ?? NaN))));
}

const sum = (values: readonly number[]): number =>
  values.reduce((total, value) => total + value, 0);

/**
 * What every engine of the protocol must do (spec/engine-protocol.ts), as a vitest suite. Expected numbers come from
 * the formulas of the losses, computed by hand beside each test.
 */
export function describeEngineConformance(
  name: string,
  start: () => Promise<ConformanceSubject>,
  options: { readonly startTimeoutMs?: number } = {},
): void {
  describe(`engine conformance: ${name}`, { timeout: 60_000 }, () => {
    let subject: ConformanceSubject;
    let stop: ConformanceSubject["stop"];
    let client: EngineClient;
    let sessionId: string;
    beforeAll(async () => {
      subject = await start();
      stop = subject.stop;
      client = createEngineClient({ baseUrl: subject.baseUrl, token: subject.token });
      sessionId = await client.createSession();
    }, options.startTimeoutMs ?? 60_000);
    afterAll(async () => {
      await stop?.();
    });

    const createModel = (role: ModelRole = "policy", seed = 1): Promise<string> =>
      client.createModel({
        sessionId,
        baseModel: subject.baseModel,
        role,
        lora: { rank: 4, seed },
      });

    const sampleInput = (more: Partial<SampleInput["sampling_params"]> = {}): SampleInput => ({
      prompt: { chunks: [{ type: "encoded_text", tokens: [...prompt] }] },
      num_samples: 1,
      sampling_params: { max_tokens: 6, temperature: 1, seed: 3, ...more },
    });

    const firstSequence = (output: SampleOutput): SampleOutput["sequences"][number] => {
      const [sequence] = output.sequences;
      if (sequence === undefined) throw new Error("the sample has no sequence");
      return sequence;
    };

    describe("capabilities", () => {
      it("name the protocol, the model and everything the loop needs", async () => {
        await client.healthz();
        const capabilities = await client.getServerCapabilities();
        expect(capabilities.engine.protocol_version).toBe(engineProtocolVersion);
        expect(capabilities.supported_models).toContainEqual({ model_name: subject.baseModel });
        expect(capabilities.loss_fns).toEqual(expect.arrayContaining([...lossFunctions]));
        expect(capabilities.reduction).toBe("sum");
        expect(capabilities.target_alignment).toEqual(expect.arrayContaining(["full", "suffix"]));
      });
    });

    describe("forward", () => {
      it("gives the log-probability of each target, that of the base model before any training", async () => {
        const modelId = await createModel();
        const output = await client.forward(modelId, batch("cross_entropy", [datum()]));
        const logProbs = outputOf(output, "logprobs");
        expect(logProbs.every((value) => Number.isFinite(value) && value < 0)).toBe(true);

        const base = await client.createSamplingSession(sessionId, {
          baseModel: subject.baseModel,
        });
        const whole = await client.sample(base, {
          ...sampleInput({ max_tokens: 1 }),
          prompt: { chunks: [{ type: "encoded_text", tokens: [...prompt, ...completion] }] },
          prompt_logprobs: true,
        });
        const scores = whole.prompt_logprobs ?? [];
        expect(scores[0]).toBeNull();
        expect(
          differenceOf(
            logProbs,
            scores.slice(-completion.length).map((value) => value ?? Number.NaN),
          ),
        ).toBeLessThanOrEqual(tolerance);
      });

      it("reads full targets as it reads the suffix form", async () => {
        const modelId = await createModel();
        const suffix = await client.forward(modelId, batch("cross_entropy", [datum()]));
        const tokens = [...prompt, ...completion];
        const full = await client.forward(
          modelId,
          batch("cross_entropy", [
            {
              model_input: { chunks: [{ type: "encoded_text", tokens: tokens.slice(0, -1) }] },
              loss_fn_inputs: {
                target_tokens: { data: tokens.slice(1) },
                weights: { data: tokens.slice(1).map((_, at) => (at < prompt.length - 1 ? 0 : 1)) },
              },
            },
          ]),
        );
        expect(
          differenceOf(
            outputOf(full, "logprobs").slice(-completion.length),
            outputOf(suffix, "logprobs"),
          ),
        ).toBeLessThanOrEqual(tolerance);
        expect(differenceOf([lossOf(full)], [lossOf(suffix)])).toBeLessThanOrEqual(1e-3);
      });

      it("gives each completion of a group what it gives it alone", async () => {
        const modelId = await createModel();
        const group = [completion, [90, 91], [100, 101, 102, 103, 104, 105], [80]];
        const together = await client.forward(
          modelId,
          batch(
            "cross_entropy",
            group.map((targets) => datum({}, targets)),
          ),
        );
        for (const [index, targets] of group.entries()) {
          const alone = await client.forward(modelId, batch("cross_entropy", [datum({}, targets)]));
          expect(
            differenceOf(outputOf(together, "logprobs", index), outputOf(alone, "logprobs")),
          ).toBeLessThanOrEqual(tolerance);
        }
      });
    });

    describe("cross_entropy", () => {
      it("is the weighted sum of negative log-probabilities", async () => {
        const modelId = await createModel();
        const weights = [1, 0, 2, 0.5];
        const output = await client.forwardBackward(
          modelId,
          batch("cross_entropy", [datum({ weights })]),
        );
        const logProbs = outputOf(output, "logprobs");
        const expected = -sum(logProbs.map((value, index) => value * (weights[index] ?? 0)));
        expect(differenceOf([lossOf(output)], [expected])).toBeLessThanOrEqual(1e-3);
      });

      it("falls when steps are taken, and forward takes none", async () => {
        const modelId = await createModel();
        const data = batch("cross_entropy", [datum()]);
        const losses: number[] = [];
        for (let step = 0; step < 3; step++) {
          losses.push(lossOf(await client.forward(modelId, data)));
          await client.forwardBackward(modelId, data);
          const metrics = await client.optimStep(modelId, adam(1e-3));
          expect(metrics["grad_norm:last"]).toBeGreaterThan(0);
        }
        losses.push(lossOf(await client.forward(modelId, data)));
        expect(losses).toEqual([...losses].sort((left, right) => right - left));
        expect((losses.at(-1) ?? Infinity) < 0.8 * (losses[0] ?? 0)).toBe(true);
      });

      it("adds up gradients until a step is taken", async () => {
        const [once, twice] = [await createModel(), await createModel()];
        await client.forwardBackward(
          once,
          batch("cross_entropy", [datum({ weights: [2, 2, 2, 2] })]),
        );
        await client.forwardBackward(twice, batch("cross_entropy", [datum()]));
        await client.forwardBackward(twice, batch("cross_entropy", [datum()]));
        const [first, second] = [
          await client.optimStep(once, adam(1e-3)),
          await client.optimStep(twice, adam(1e-3)),
        ];
        const norm = first["grad_norm:last"] ?? Number.NaN;
        expect(differenceOf([second["grad_norm:last"] ?? Number.NaN], [norm])).toBeLessThanOrEqual(
          1e-3 * norm,
        );
      });
    });

    describe("importance_sampling", () => {
      it("is minus the sum of advantages on-policy, and moves probability with them", async () => {
        const modelId = await createModel();
        const before = await client.forward(modelId, batch("cross_entropy", [datum()]));
        const logprobs = outputOf(before, "logprobs");
        // The ratio is 1 everywhere, so the loss is -(2 - 1 + 0.5 + 0) = -1.5.
        const advantages = [2, -1, 0.5, 0];
        const output = await client.forwardBackward(
          modelId,
          batch("importance_sampling", [datum({ logprobs, advantages })]),
        );
        expect(differenceOf([lossOf(output)], [-1.5])).toBeLessThanOrEqual(1e-3);
        await client.optimStep(modelId, adam(2e-3));
        const after = outputOf(
          await client.forward(modelId, batch("cross_entropy", [datum()])),
          "logprobs",
        );
        expect(after[0]).toBeGreaterThan(logprobs[0] ?? Infinity);
        expect(after[1]).toBeLessThan(logprobs[1] ?? -Infinity);
      });
    });

    describe("ppo", () => {
      it("clips the ratio on the side where it would gain", async () => {
        const modelId = await createModel();
        const own = outputOf(
          await client.forward(modelId, batch("cross_entropy", [datum()])),
          "logprobs",
        );
        // Ratios 1.5, 1.5, 0.5, 0.5 with advantages 1, -1, 1, -1 and the default clip 0.8 to 1.2:
        // -(min(1.5, 1.2) + min(-1.5, -1.2) + min(0.5, 0.8) + min(-0.5, -0.8)) = -(1.2 - 1.5 + 0.5 - 0.8) = 0.6.
        const shifts = [Math.log(1.5), Math.log(1.5), Math.log(0.5), Math.log(0.5)];
        const logprobs = own.map((value, index) => value - (shifts[index] ?? 0));
        const data = [datum({ logprobs, advantages: [1, -1, 1, -1] })];
        expect(
          differenceOf([lossOf(await client.forwardBackward(modelId, batch("ppo", data)))], [0.6]),
        ).toBeLessThanOrEqual(1e-3);
        // Clip 0.9 to 1.1: -(1.1 - 1.5 + 0.5 - 0.9) = 0.8.
        const narrow = await client.forwardBackward(modelId, {
          ...batch("ppo", data),
          loss_fn_config: { clip_low_threshold: 0.9, clip_high_threshold: 1.1 },
        });
        expect(differenceOf([lossOf(narrow)], [0.8])).toBeLessThanOrEqual(1e-3);
      });
    });

    describe("ppo_critic", () => {
      it("is half the squared error, clipped around the old values, and falls", async () => {
        const modelId = await createModel("critic");
        const zeros = completion.map(() => 0);
        const nothingKnown = datum({ values: zeros, returns: zeros });
        const valuesOf = async (): Promise<readonly number[]> =>
          outputOf(await client.forward(modelId, batch("ppo_critic", [nothingKnown])), "values");
        const values = await valuesOf();
        expect(values).toHaveLength(completion.length);
        const returns = values.map((value) => value + 1);
        // v = v_old and R = v + 1: 0.5 · 1² for each of four tokens = 2.
        const output = await client.forwardBackward(
          modelId,
          batch("ppo_critic", [datum({ values, returns })]),
        );
        expect(differenceOf([lossOf(output)], [2])).toBeLessThanOrEqual(1e-3);
        // v_old = v - 1, value_clip 0.2, R = v - 0.9: clip(v) = v - 0.8 (error 0.1), v itself errs by 0.9: the larger
        // one counts, 0.5 · 0.81 · 4 = 1.62.
        const clipped = await client.forward(modelId, {
          ...batch("ppo_critic", [
            datum({
              values: values.map((value) => value - 1),
              returns: values.map((value) => value - 0.9),
            }),
          ]),
          loss_fn_config: { value_clip: 0.2 },
        });
        expect(differenceOf([lossOf(clipped)], [1.62])).toBeLessThanOrEqual(1e-3);
        await client.optimStep(modelId, adam(5e-3));
        const after = await valuesOf();
        const error = (found: readonly number[]): number =>
          sum(found.map((value, index) => (value - (returns[index] ?? 0)) ** 2));
        expect(error(after)).toBeLessThan(error(values));
      });
    });

    describe("checkpoints", () => {
      it("bring back weights and optimiser: the next step is the one that would have come", async () => {
        const modelId = await createModel();
        const data = batch("cross_entropy", [datum()]);
        const step = async (id: string): Promise<readonly number[]> => {
          await client.forwardBackward(id, data);
          await client.optimStep(id, adam(2e-3));
          return outputOf(await client.forward(id, data), "logprobs");
        };
        await step(modelId);
        const saved = outputOf(await client.forward(modelId, data), "logprobs");
        const path = await client.saveWeights(modelId, "conformance-1");
        const continued = await step(modelId);

        const resumed = await createModel("policy", 2);
        await client.loadWeights(resumed, path, { optimizer: true });
        expect(
          differenceOf(outputOf(await client.forward(resumed, data), "logprobs"), saved),
        ).toBeLessThanOrEqual(tolerance);
        expect(differenceOf(await step(resumed), continued)).toBeLessThanOrEqual(tolerance);
      });

      it("can be sampled by name, and a path that does not exist is an error", async () => {
        const modelId = await createModel();
        await client.forwardBackward(modelId, batch("cross_entropy", [datum()]));
        await client.optimStep(modelId, adam(5e-3));
        const path = await client.saveNamedWeightsForSampler(modelId, "conformance-2");
        const named = await client.createSamplingSession(sessionId, { modelPath: path });
        const ephemeral = await client.saveWeightsForSampler(modelId);
        const [fromName, fromModel] = [
          firstSequence(await client.sample(named, sampleInput())),
          firstSequence(await client.sample(ephemeral, sampleInput())),
        ];
        expect(fromName.tokens).toEqual(fromModel.tokens);
        expect(differenceOf(fromName.logprobs, fromModel.logprobs)).toBeLessThanOrEqual(tolerance);
        await expect(
          client.loadWeights(await createModel(), path.replace("conformance-2", "absent"), {
            optimizer: false,
          }),
        ).rejects.toBeInstanceOf(ModelCallError);
      });
    });

    describe("sampling", () => {
      it("is a function of prompt, parameters and seed", async () => {
        const base = await client.createSamplingSession(sessionId, {
          baseModel: subject.baseModel,
        });
        const first = await client.sample(base, { ...sampleInput(), num_samples: 3 });
        const again = await client.sample(base, { ...sampleInput(), num_samples: 3 });
        expect(first.sequences).toHaveLength(3);
        expect(again.sequences.map(({ tokens }) => tokens)).toEqual(
          first.sequences.map(({ tokens }) => tokens),
        );
        const seeds = new Set<string>();
        for (const seed of [1, 2, 3, 4])
          seeds.add(String(firstSequence(await client.sample(base, sampleInput({ seed }))).tokens));
        expect(seeds.size).toBeGreaterThan(1);
      });

      it("at temperature 0 takes the likeliest token", async () => {
        const base = await client.createSamplingSession(sessionId, {
          baseModel: subject.baseModel,
        });
        const greedy = firstSequence(
          await client.sample(base, sampleInput({ temperature: 0, seed: 1, max_tokens: 1 })),
        );
        const others = await client.sample(base, {
          ...sampleInput({ max_tokens: 1, seed: 9 }),
          num_samples: 16,
        });
        for (const { logprobs } of others.sequences)
          expect(greedy.logprobs[0]).toBeGreaterThanOrEqual((logprobs[0] ?? 0) - tolerance);
      });

      it("gives the trainer's log-probabilities, before and after training", async () => {
        const modelId = await createModel();
        for (let round = 0; round < 2; round++) {
          const sampler = await client.saveWeightsForSampler(modelId);
          const output = await client.sample(sampler, { ...sampleInput(), num_samples: 2 });
          const trained = await client.forward(
            modelId,
            batch(
              "cross_entropy",
              output.sequences.map(({ tokens }) => datum({}, tokens)),
            ),
          );
          for (const [index, { logprobs }] of output.sequences.entries())
            expect(
              differenceOf(outputOf(trained, "logprobs", index), logprobs),
            ).toBeLessThanOrEqual(tolerance);
          await client.forwardBackward(modelId, batch("cross_entropy", [datum()]));
          await client.optimStep(modelId, adam(5e-3));
        }
      });

      it("of the base model is untouched by training", async () => {
        const base = await client.createSamplingSession(sessionId, {
          baseModel: subject.baseModel,
        });
        const before = firstSequence(await client.sample(base, sampleInput()));
        const modelId = await createModel();
        await client.forwardBackward(modelId, batch("cross_entropy", [datum()]));
        await client.optimStep(modelId, adam(1e-1));
        const after = firstSequence(await client.sample(base, sampleInput()));
        expect(after.tokens).toEqual(before.tokens);
        expect(differenceOf(after.logprobs, before.logprobs)).toBeLessThanOrEqual(tolerance);
      });

      it("runs a wave as one batch, in the order of the requests", async () => {
        const base = await client.createSamplingSession(sessionId, {
          baseModel: subject.baseModel,
        });
        const inputs = [5, 6, 7, 8].map((seed) => sampleInput({ seed }));
        const waves = [
          await client.sampleWave(base, inputs),
          await client.sampleWave(base, inputs),
        ];
        const tokens = waves.map((wave) =>
          wave.map((result) =>
            result.status === "completed" ? firstSequence(result.output).tokens : [],
          ),
        );
        expect(tokens[0]).toEqual(tokens[1]);
        for (const [index, input] of inputs.entries())
          expect(firstSequence(await client.sample(base, input)).tokens).toEqual(
            tokens[0]?.[index],
          );
      });

      it("stops at a stop token and says so", async () => {
        const base = await client.createSamplingSession(sessionId, {
          baseModel: subject.baseModel,
        });
        const free = firstSequence(await client.sample(base, sampleInput({ temperature: 0 })));
        const [stopToken] = free.tokens;
        if (stopToken === undefined) throw new Error("the sample is empty");
        const stopped = firstSequence(
          await client.sample(base, sampleInput({ temperature: 0, stop: [stopToken] })),
        );
        expect(stopped).toMatchObject({ stop_reason: "stop", tokens: [stopToken] });
      });
    });

    describe("constraints", () => {
      const regex: Constraint = { type: "regex", value: "(ADD: [a-z]{1,6}|UPDATE [0-3]|NOOP)" };

      it("are obeyed by every sample, as regular expression and as JSON schema", async () => {
        const base = await client.createSamplingSession(sessionId, {
          baseModel: subject.baseModel,
        });
        const output = await client.sample(base, {
          ...sampleInput({ constraint: regex, max_tokens: 32 }),
          num_samples: 4,
        });
        for (const { tokens } of output.sequences)
          expect(subject.decode(tokens)).toMatch(/^(ADD: [a-z]{1,6}|UPDATE [0-3]|NOOP)$/);
        const schema = {
          type: "object",
          properties: { id: { enum: [1, 2, 3] } },
          required: ["id"],
          additionalProperties: false,
        };
        const json = await client.sample(
          base,
          sampleInput({
            constraint: { type: "json_schema", value: JSON.stringify(schema) },
            max_tokens: 48,
          }),
        );
        expect(subject.decode(firstSequence(json).tokens)).toMatch(
          /^\s*\{\s*"id"\s*:\s*[123]\s*\}\s*$/,
        );
      });

      it("give the sampler the trainer's log-probabilities too", async () => {
        const modelId = await createModel();
        const sampler = await client.saveWeightsForSampler(modelId);
        const output = await client.sample(sampler, {
          ...sampleInput({ constraint: regex, max_tokens: 32 }),
          num_samples: 3,
        });
        const trained = await client.forward(
          modelId,
          batch(
            "cross_entropy",
            output.sequences.map(({ tokens }) => datum({}, tokens, regex)),
          ),
        );
        for (const [index, { logprobs }] of output.sequences.entries())
          expect(differenceOf(outputOf(trained, "logprobs", index), logprobs)).toBeLessThanOrEqual(
            tolerance,
          );
      });

      it("that make no sense are refused", async () => {
        const base = await client.createSamplingSession(sessionId, {
          baseModel: subject.baseModel,
        });
        await expect(
          client.sample(base, sampleInput({ constraint: { type: "regex", value: "(((" } })),
        ).rejects.toBeInstanceOf(ModelCallError);
      });
    });

    describe("repeated requests", () => {
      it("are answered with the same future, and a number used twice for something else is refused", async () => {
        const transport = createTransport({ baseUrl: subject.baseUrl, token: subject.token });
        const once = { idempotent: false };
        const session = await transport.post(
          "/create_session",
          { tags: [] },
          createSessionResponseSchema,
          once,
        );
        const model = await transport.post(
          "/create_model",
          {
            session_id: session.session_id,
            base_model: subject.baseModel,
            lora_config: { rank: 2, seed: 0 },
            model_role: "policy",
          },
          createModelResponseSchema,
          once,
        );
        await transport.retrieve(model.request_id, z.looseObject({}));
        const request = {
          model_id: model.model_id,
          forward_backward_input: batch("cross_entropy", [datum()]),
          seq_id: 1,
        };
        const first = await transport.post("/forward_backward", request, futureSchema, once);
        const second = await transport.post("/forward_backward", request, futureSchema, once);
        expect(second.request_id).toBe(first.request_id);
        await expect(
          transport.post(
            "/forward_backward",
            { ...request, forward_backward_input: batch("cross_entropy", [datum(), datum()]) },
            futureSchema,
            once,
          ),
        ).rejects.toMatchObject({ status: 409 });
        // The gradient was added once: one step with it equals one step of a model that was asked once.
        const step = { model_id: model.model_id, adam_params: adam(1e-3), seq_id: 2 };
        const future = await transport.post("/optim_step", step, futureSchema, once);
        const { metrics } = await transport.retrieve(
          future.request_id,
          z.object({ metrics: z.record(z.string(), z.number()) }),
        );
        const control = await client.createModel({
          sessionId,
          baseModel: subject.baseModel,
          role: "policy",
          lora: { rank: 2, seed: 0 },
        });
        await client.forwardBackward(control, batch("cross_entropy", [datum()]));
        const expected = (await client.optimStep(control, adam(1e-3)))["grad_norm:last"] ?? 0;
        expect(
          differenceOf([metrics["grad_norm:last"] ?? Number.NaN], [expected]),
        ).toBeLessThanOrEqual(1e-3 * expected);
      });
    });

    describe("errors", () => {
      it("say what was wrong and leave the engine working", async () => {
        const stranger = createEngineClient({ baseUrl: subject.baseUrl, token: "wrong" });
        await expect(stranger.createSession()).rejects.toMatchObject({ status: 401 });
        await expect(
          client.createModel({
            sessionId,
            baseModel: "no-such-model",
            role: "policy",
            lora: { rank: 2, seed: 0 },
          }),
        ).rejects.toBeInstanceOf(ModelCallError);

        const modelId = await createModel();
        const tooLong = datum();
        tooLong.loss_fn_inputs.target_tokens = { data: Array.from({ length: 99 }, () => 65) };
        const unequal = datum({ weights: [1] });
        const unknownToken = datum({}, [10_000_000]);
        const noAdvantages = batch("ppo", [datum()]);
        for (const input of [
          batch("cross_entropy", [tooLong]),
          batch("cross_entropy", [unequal]),
          batch("cross_entropy", [unknownToken]),
          noAdvantages,
        ]) {
          const error = await client
            .forwardBackward(modelId, input)
            .catch((caught: unknown) => caught);
          expect(error).toBeInstanceOf(ModelCallError);
          expect(error).toMatchObject({ retryable: false });
          expect([400, 422]).toContain(error instanceof ModelCallError ? error.status : undefined);
        }
        const base = await client.createSamplingSession(sessionId, {
          baseModel: subject.baseModel,
        });
        await expect(
          client.sample(base, sampleInput({ max_tokens: 10_000_000 })),
        ).rejects.toBeInstanceOf(ModelCallError);
        const output = await client.forward(modelId, batch("cross_entropy", [datum()]));
        expect(outputOf(output, "logprobs")).toHaveLength(completion.length);
      });

      it("include a model that was unloaded", async () => {
        const modelId = await createModel();
        await client.unloadModel(modelId);
        await expect(
          client.forward(modelId, batch("cross_entropy", [datum()])),
        ).rejects.toBeInstanceOf(ConfigError);
      });
    });
  });
}
