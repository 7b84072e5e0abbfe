import { deepEqual, equal, ok, rejects } from "node:assert/strict";
import {
  ConfigError,
  ModelCallError,
  createModelResponseSchema,
  createSessionResponseSchema,
  engineProtocolVersion,
  futureSchema,
  type AdamParams,
  type Constraint,
  type Datum,
  type ForwardBackwardInput,
  type ForwardBackwardOutput,
  type LossFunction,
  type ModelRole,
  type SampleOutput,
  type ServerCapabilities,
} from "@memory-r1/spec";
import { z } from "zod";
import { createEngineClient, type EngineClient, type SampleInput } from "./client.ts";
import type { EngineFeature } from "./dialects.ts";
import { createTransport } from "./transport.ts";

/** An engine under test, with a model of at least 256 tokens in float32. */
export interface EngineSubject {
  readonly client: EngineClient;
  readonly baseUrl: string;
  readonly token: string;
  /** Its name at the engine. */
  readonly baseModel: string;
  /** Text of sampled tokens, without special tokens: constraints speak of text. */
  readonly decode: (tokens: readonly number[]) => string;
}

/** What a check does its work with. Models that it makes are unloaded after it. */
interface CheckContext extends EngineSubject {
  readonly sessionId: string;
  readonly capabilities: ServerCapabilities;
  createModel(role?: ModelRole, seed?: number): Promise<string>;
  baseSampler(): Promise<string>;
}

/** One thing that every engine must do that offers what it needs. */
export interface EngineCheck {
  readonly group: string;
  /** Goes on from the group's name. */
  readonly name: string;
  readonly needs: readonly EngineFeature[];
  /** Losses that it computes, of the engine's `loss_fns`. */
  readonly losses: readonly string[];
  /** @throws Error that says what was found instead. */
  readonly run: (context: CheckContext) => Promise<void>;
}

/** Sampler against trainer, packed against separate: float32 (docs/engine-protocol.md). */
const tolerance = 1e-4;

const prompt = [65, 66, 67, 68, 69, 70, 71, 72];
const completion = [80, 81, 82, 83];
const regex: Constraint = { type: "regex", value: "(ADD: [a-z]{1,6}|UPDATE [0-3]|NOOP)" };

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

const textChunk = (tokens: readonly number[]) => ({
  type: "encoded_text" as const,
  tokens: [...tokens],
});

/** A datum in suffix form: targets are the completion, the input is prompt + completion without its last token. */
function datum(numbers: NumbersOf = {}, targets = completion, constraint?: Constraint): Datum {
  const inputs = Object.fromEntries(
    Object.entries(numbers).map(([name, data]) => [name, { data: [...data] }]),
  );
  const rest = targets.slice(0, -1);
  return {
    model_input: { chunks: [prompt, ...(rest.length === 0 ? [] : [rest])].map(textChunk) },
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

const lossOf = (output: ForwardBackwardOutput): number => output.metrics["loss:sum"] ?? Number.NaN;

const sum = (values: readonly number[]): number =>
  values.reduce((total, value) => total + value, 0);

/** Equal up to `within`, element by element. */
function near(
  what: string,
  found: readonly number[],
  expected: readonly number[],
  within = tolerance,
): void {
  equal(found.length, expected.length, `${what}: ${found.length} numbers, not ${expected.length}`);
  const difference = Math.max(
    0,
    ...expected.map((value, at) => Math.abs(value - (found[at] ?? Number.NaN))),
  );
  ok(
    difference <= within,
    `${what}: ${found.map(shown).join(" ")} instead of ${expected.map(shown).join(" ")}, ` +
      `off by ${shown(difference)}, allowed ${within}`,
  );
}

const shown = (value: number): string => String(Number(value.toPrecision(6)));

function firstSequence(output: SampleOutput): SampleOutput["sequences"][number] {
  const [sequence] = output.sequences;
  ok(sequence !== undefined, "the sample has no sequence");
  return sequence;
}

const sampleInput = (more: Partial<SampleInput["sampling_params"]> = {}): SampleInput => ({
  prompt: { chunks: [textChunk(prompt)] },
  num_samples: 1,
  sampling_params: { max_tokens: 6, temperature: 1, seed: 3, ...more },
});

const logProbsOf = async (
  { client }: CheckContext,
  modelId: string,
  targets = completion,
): Promise<readonly number[]> =>
  outputOf(await client.forward(modelId, batch("cross_entropy", [datum({}, targets)])), "logprobs");

/** Loss and gradient norm of one pass and one step. */
async function stepOf(
  { client }: CheckContext,
  modelId: string,
  input: ForwardBackwardInput,
  learningRate: number,
): Promise<{ readonly loss: number; readonly norm: number }> {
  const output = await client.forwardBackward(modelId, input);
  const metrics = await client.optimStep(modelId, adam(learningRate));
  return { loss: lossOf(output), norm: metrics["grad_norm:last"] ?? Number.NaN };
}

type CheckNeeds = Partial<Pick<EngineCheck, "needs" | "losses">>;

function check(
  group: string,
  name: string,
  needs: CheckNeeds,
  run: EngineCheck["run"],
): EngineCheck {
  return { group, name, needs: needs.needs ?? [], losses: needs.losses ?? [], run };
}

const isModelCallError = (error: unknown): boolean => {
  ok(error instanceof ModelCallError, `${String(error)} instead of a ModelCallError`);
  return true;
};

/**
 * What every engine of the protocol must do (spec/engine-protocol.ts). Expected numbers come from the formulas of the
 * losses, computed by hand beside each check.
 */
export const engineChecks: readonly EngineCheck[] = [
  check(
    "capabilities",
    "name the protocol, the model and everything the loop needs",
    {},
    async ({ client, capabilities, baseModel }) => {
      await client.healthz();
      equal(capabilities.engine.protocol_version, engineProtocolVersion);
      ok(
        capabilities.supported_models.some((model) => model.model_name === baseModel),
        `supported_models lacks ${baseModel}`,
      );
      for (const loss of ["cross_entropy", "importance_sampling", "ppo"])
        ok(capabilities.loss_fns.includes(loss), `loss_fns lacks ${loss}`);
      equal(capabilities.reduction, "sum");
      ok(
        capabilities.target_alignment.includes("full") &&
          capabilities.target_alignment.includes("suffix"),
      );
    },
  ),
  check(
    "capabilities",
    "say of grammars, waves, critic and base model what the client knows",
    {},
    async ({ client, capabilities }) => {
      const declared = {
        constraints: capabilities.constraints.length > 0,
        waves: capabilities.waves,
        critic:
          capabilities.roles.includes("critic") && capabilities.loss_fns.includes("ppo_critic"),
        "base-sampling": capabilities.base_model_sampling,
      } as const;
      for (const [feature, isDeclared] of Object.entries(declared))
        equal(
          isDeclared,
          !Object.keys(client.lacks).includes(feature),
          `${feature}: declared ${isDeclared}`,
        );
    },
  ),
  check(
    "forward",
    "gives the log-probability of each target, that of the base model before any training",
    { needs: ["base-sampling", "prompt-log-probabilities"] },
    async (context) => {
      const logProbs = await logProbsOf(context, await context.createModel());
      ok(logProbs.every((value) => Number.isFinite(value) && value < 0));
      const whole = await context.client.sample(await context.baseSampler(), {
        ...sampleInput({ max_tokens: 1 }),
        prompt: { chunks: [textChunk([...prompt, ...completion])] },
        prompt_logprobs: true,
      });
      const scores = whole.prompt_logprobs ?? [];
      equal(scores.length, prompt.length + completion.length);
      equal(scores[0], null);
      near(
        "log-probabilities",
        logProbs,
        scores.slice(-completion.length).map((value) => value ?? Number.NaN),
      );
    },
  ),
  check("forward", "reads full targets as it reads the suffix form", {}, async (context) => {
    const { client } = context;
    const modelId = await context.createModel();
    const suffix = await client.forward(modelId, batch("cross_entropy", [datum()]));
    const tokens = [...prompt, ...completion];
    const full = await client.forward(
      modelId,
      batch("cross_entropy", [
        {
          model_input: { chunks: [textChunk(tokens.slice(0, -1))] },
          loss_fn_inputs: {
            target_tokens: { data: tokens.slice(1) },
            weights: { data: tokens.slice(1).map((_, at) => (at < prompt.length - 1 ? 0 : 1)) },
          },
        },
      ]),
    );
    near(
      "log-probabilities",
      outputOf(full, "logprobs").slice(-completion.length),
      outputOf(suffix, "logprobs"),
    );
    near("loss", [lossOf(full)], [lossOf(suffix)], 1e-3);
  }),
  check(
    "forward",
    "gives each completion of a group what it gives it alone",
    {},
    async (context) => {
      const modelId = await context.createModel();
      const group = [completion, [90, 91], [100, 101, 102, 103, 104, 105], [80]];
      const together = await context.client.forward(
        modelId,
        batch(
          "cross_entropy",
          group.map((targets) => datum({}, targets)),
        ),
      );
      for (const [index, targets] of group.entries())
        near(
          `completion ${index}`,
          outputOf(together, "logprobs", index),
          await logProbsOf(context, modelId, targets),
        );
    },
  ),
  check(
    "cross_entropy",
    "is the weighted sum of negative log-probabilities",
    {},
    async (context) => {
      const weights = [1, 0, 2, 0.5];
      const output = await context.client.forward(
        await context.createModel(),
        batch("cross_entropy", [datum({ weights }), datum({ weights: [0, 0, 0, 3] })]),
      );
      const logProbs = outputOf(output, "logprobs");
      // The second datum is the first with another weight.
      const expected =
        -sum(logProbs.map((value, at) => value * (weights[at] ?? 0))) - 3 * (logProbs[3] ?? 0);
      near("loss", [lossOf(output)], [expected], 1e-3);
    },
  ),
  check(
    "cross_entropy",
    "falls when steps are taken, and forward takes none",
    {},
    async (context) => {
      const modelId = await context.createModel();
      const data = batch("cross_entropy", [datum()]);
      const losses: number[] = [];
      for (let step = 0; step < 3; step++) {
        losses.push(lossOf(await context.client.forward(modelId, data)));
        ok((await stepOf(context, modelId, data, 1e-3)).norm > 0, "the gradient is 0");
      }
      losses.push(lossOf(await context.client.forward(modelId, data)));
      deepEqual(
        losses,
        [...losses].sort((left, right) => right - left),
      );
      ok(
        (losses.at(-1) ?? Infinity) < 0.8 * (losses[0] ?? 0),
        `losses ${losses.map(shown).join(" ")}`,
      );
    },
  ),
  check(
    "cross_entropy",
    "sums over tokens and datums, and is linear in the weights",
    {},
    async (context) => {
      const norms: number[] = [];
      // The same gradient three times: weight 2, two equal datums, and half of it twice the weight 4 beside a datum of 0.
      for (const data of [
        [datum({ weights: [2, 2, 2, 2] })],
        [datum(), datum()],
        [datum({ weights: [2, 2, 2, 2] }), datum({ weights: [0, 0, 0, 0] }, [90, 91, 92, 93])],
      ])
        norms.push(
          (await stepOf(context, await context.createModel(), batch("cross_entropy", data), 1e-3))
            .norm,
        );
      const [first = Number.NaN] = norms;
      near(
        "gradient norms",
        norms,
        norms.map(() => first),
        1e-3 * first,
      );
    },
  ),
  check(
    "cross_entropy",
    "adds up gradients until a step is taken",
    { needs: ["accumulation"] },
    async (context) => {
      const [once, twice] = [await context.createModel(), await context.createModel()];
      const expected = await stepOf(
        context,
        once,
        batch("cross_entropy", [datum({ weights: [2, 2, 2, 2] })]),
        1e-3,
      );
      await context.client.forwardBackward(twice, batch("cross_entropy", [datum()]));
      const found = await stepOf(context, twice, batch("cross_entropy", [datum()]), 1e-3);
      near("gradient norm", [found.norm], [expected.norm], 1e-3 * expected.norm);
    },
  ),
  check(
    "importance_sampling",
    "is minus the sum of advantages on-policy, and moves probability with them",
    { losses: ["importance_sampling"] },
    async (context) => {
      const modelId = await context.createModel();
      const logprobs = await logProbsOf(context, modelId);
      // The ratio is 1 everywhere, so the loss is -(2 - 1 + 0.5 + 0) = -1.5.
      const data = batch("importance_sampling", [datum({ logprobs, advantages: [2, -1, 0.5, 0] })]);
      near("loss", [(await stepOf(context, modelId, data, 2e-3)).loss], [-1.5], 1e-3);
      const after = await logProbsOf(context, modelId);
      ok((after[0] ?? -Infinity) > (logprobs[0] ?? Infinity), "token 0 has become less likely");
      ok((after[1] ?? Infinity) < (logprobs[1] ?? -Infinity), "token 1 has become more likely");
    },
  ),
  check(
    "importance_sampling",
    "on-policy has the gradient of cross_entropy with the advantages as weights",
    { losses: ["importance_sampling"] },
    async (context) => {
      const advantages = [2, -1, 0.5, 0];
      const [sampled, weighted] = [await context.createModel(), await context.createModel()];
      const logprobs = await logProbsOf(context, sampled);
      // A second sequence, of another length, shows what is averaged over sequences or tokens.
      const other = { targets: [90, 91], advantages: [1, 0.5] };
      const otherLogprobs = await logProbsOf(context, sampled, other.targets);
      const first = await stepOf(
        context,
        sampled,
        batch("importance_sampling", [
          datum({ logprobs, advantages }),
          datum({ logprobs: otherLogprobs, advantages: other.advantages }, other.targets),
        ]),
        1e-3,
      );
      const second = await stepOf(
        context,
        weighted,
        batch("cross_entropy", [
          datum({ weights: advantages }),
          datum({ weights: other.advantages }, other.targets),
        ]),
        1e-3,
      );
      near("gradient norm", [first.norm], [second.norm], 1e-3 * second.norm);
      near(
        "log-probabilities after the step",
        await logProbsOf(context, sampled),
        await logProbsOf(context, weighted),
        // Adam's first step is the sign of the gradient, which rounding decides where it is next to 0.
        1e-2,
      );
    },
  ),
  check(
    "ppo",
    "clips the ratio on the side where it would gain",
    { losses: ["ppo"] },
    async (context) => {
      const modelId = await context.createModel();
      const own = await logProbsOf(context, modelId);
      // Ratios 1.5, 1.5, 0.5, 0.5 with advantages 1, -1, 1, -1 and the default clip 0.8 to 1.2:
      // -(min(1.5, 1.2) + min(-1.5, -1.2) + min(0.5, 0.8) + min(-0.5, -0.8)) = -(1.2 - 1.5 + 0.5 - 0.8) = 0.6.
      const shifts = [Math.log(1.5), Math.log(1.5), Math.log(0.5), Math.log(0.5)];
      const logprobs = own.map((value, at) => value - (shifts[at] ?? 0));
      const data = batch("ppo", [datum({ logprobs, advantages: [1, -1, 1, -1] })]);
      near("loss", [lossOf(await context.client.forward(modelId, data))], [0.6], 1e-3);
      // Clip 0.9 to 1.1: -(1.1 - 1.5 + 0.5 - 0.9) = 0.8.
      const narrow = {
        ...data,
        loss_fn_config: { clip_low_threshold: 0.9, clip_high_threshold: 1.1 },
      };
      near(
        "loss of a narrow clip",
        [lossOf(await context.client.forward(modelId, narrow))],
        [0.8],
        1e-3,
      );
    },
  ),
  check("ppo", "has no gradient where the clip binds", { losses: ["ppo"] }, async (context) => {
    const modelId = await context.createModel();
    const own = await logProbsOf(context, modelId);
    // Ratio 2 with a positive advantage at every token: the clip holds all of them.
    const logprobs = own.map((value) => value - Math.log(2));
    const data = batch("ppo", [datum({ logprobs, advantages: [1, 1, 1, 1] })]);
    near("gradient norm", [(await stepOf(context, modelId, data, 1e-3)).norm], [0], 1e-6);
  }),
  check(
    "cispo",
    "weighs log-probabilities by the clipped ratio, which has no gradient of its own",
    { losses: ["cispo"] },
    async (context) => {
      const [clipped, weighted] = [await context.createModel(), await context.createModel()];
      const own = await logProbsOf(context, clipped);
      // Ratios 1.5, 0.5, 1, 1.5 clipped to 0.8 to 1.2, with advantages 1, 1, -2, -1: weights 1.2, 0.8, -2, -1.2.
      const shifts = [Math.log(1.5), Math.log(0.5), 0, Math.log(1.5)];
      const logprobs = own.map((value, at) => value - (shifts[at] ?? 0));
      const weights = [1.2, 0.8, -2, -1.2];
      const config = { clip_low_threshold: 0.8, clip_high_threshold: 1.2 };
      const data = {
        ...batch("cispo", [datum({ logprobs, advantages: [1, 1, -2, -1] })]),
        loss_fn_config: config,
      };
      const found = await stepOf(context, clipped, data, 1e-3);
      near("loss", [found.loss], [-sum(own.map((value, at) => value * (weights[at] ?? 0)))], 1e-3);
      const expected = await stepOf(
        context,
        weighted,
        batch("cross_entropy", [datum({ weights })]),
        1e-3,
      );
      near("gradient norm", [found.norm], [expected.norm], 1e-3 * expected.norm);
    },
  ),
  check("gspo", "has one ratio for the sequence", { losses: ["gspo"] }, async (context) => {
    const modelId = await context.createModel();
    const own = await logProbsOf(context, modelId);
    // Ratios 2, 2, 1, 1 of the tokens are the ratio 2^(1/2) of the sequence: -4 · 1.41421 = -5.65685 unclipped, and
    // -4 · 1.2 = -4.8 with the clip at 1.2.
    const logprobs = own.map((value, at) => value - (at < 2 ? Math.log(2) : 0));
    const data = batch("gspo", [datum({ logprobs, advantages: [1, 1, 1, 1] })]);
    for (const [high, loss] of [
      [2, -5.65685],
      [1.2, -4.8],
    ] as const) {
      const config = { clip_low_threshold: 0.5, clip_high_threshold: high };
      const output = await context.client.forward(modelId, { ...data, loss_fn_config: config });
      near(`loss with the clip at ${high}`, [lossOf(output)], [loss], 1e-3);
    }
  }),
  check(
    "ppo_critic",
    "is half the squared error, clipped around the old values, and falls",
    { needs: ["critic"] },
    async (context) => {
      const { client } = context;
      const modelId = await context.createModel("critic");
      const zeros = completion.map(() => 0);
      const nothingKnown = datum({ values: zeros, returns: zeros });
      const valuesOf = async (): Promise<readonly number[]> =>
        outputOf(await client.forward(modelId, batch("ppo_critic", [nothingKnown])), "values");
      const values = await valuesOf();
      equal(values.length, completion.length);
      const returns = values.map((value) => value + 1);
      // v = v_old and R = v + 1: 0.5 · 1² for each of four tokens = 2.
      const output = await client.forwardBackward(
        modelId,
        batch("ppo_critic", [datum({ values, returns })]),
      );
      near("loss", [lossOf(output)], [2], 1e-3);
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
      near("clipped loss", [lossOf(clipped)], [1.62], 1e-3);
      await client.optimStep(modelId, adam(1e-2));
      ok(sum(await valuesOf()) > sum(values), "values do not rise towards the returns");
    },
  ),
  check(
    "checkpoints",
    "bring weights and optimiser back: training goes on as if it had not stopped",
    { needs: ["resume"] },
    async (context) => {
      const { client } = context;
      const data = batch("cross_entropy", [datum()]);
      const step = async (id: string): Promise<readonly number[]> => {
        await stepOf(context, id, data, 2e-3);
        return logProbsOf(context, id);
      };
      const modelId = await context.createModel();
      const saved = await step(modelId);
      const path = await client.saveWeights(modelId, "conformance-1");
      const continued = await step(modelId);
      const resumed = await context.createModel("policy", 2);
      await client.loadWeights(resumed, path, { optimizer: true });
      near("log-probabilities after loading", await logProbsOf(context, resumed), saved);
      near("log-probabilities a step later", await step(resumed), continued);
    },
  ),
  check("checkpoints", "that do not exist are an error", { needs: ["resume"] }, async (context) => {
    const modelId = await context.createModel();
    const path = await context.client.saveWeights(modelId, "conformance-2");
    const absent = path.replace("conformance-2", "absent");
    await rejects(
      context.client.loadWeights(await context.createModel(), absent, { optimizer: true }),
      isModelCallError,
    );
  }),
  check(
    "checkpoints",
    "kept for sampling can be sampled by name",
    { needs: ["kept-samplers", "sampler-start"] },
    async (context) => {
      const { client, sessionId } = context;
      const modelId = await context.createModel();
      await stepOf(context, modelId, batch("cross_entropy", [datum()]), 5e-3);
      const path = await client.saveNamedWeightsForSampler(modelId, "conformance-3");
      const named = await client.createSamplingSession(sessionId, { modelPath: path });
      const ephemeral = await client.saveWeightsForSampler(modelId);
      const [fromName, fromModel] = [
        firstSequence(await client.sample(named, sampleInput())),
        firstSequence(await client.sample(ephemeral, sampleInput())),
      ];
      deepEqual(fromName.tokens, fromModel.tokens);
      near("log-probabilities", fromName.logprobs, fromModel.logprobs);
      const second = await context.createModel("policy", 2);
      await client.loadWeights(second, path, { optimizer: false });
      near(
        "log-probabilities of a start from them",
        await logProbsOf(context, second),
        await logProbsOf(context, modelId),
      );
    },
  ),
  check(
    "sampling",
    "is a function of prompt, parameters and seed",
    { needs: ["base-sampling"] },
    async (context) => {
      const { client } = context;
      const base = await context.baseSampler();
      const first = await client.sample(base, { ...sampleInput(), num_samples: 3 });
      const again = await client.sample(base, { ...sampleInput(), num_samples: 3 });
      equal(first.sequences.length, 3);
      deepEqual(
        again.sequences.map(({ tokens }) => tokens),
        first.sequences.map(({ tokens }) => tokens),
      );
      const seeds = new Set<string>();
      for (const seed of [1, 2, 3, 4])
        seeds.add(String(firstSequence(await client.sample(base, sampleInput({ seed }))).tokens));
      ok(seeds.size > 1, "four seeds gave the same tokens");
    },
  ),
  check(
    "sampling",
    "takes every seed that the loop may draw",
    { needs: ["base-sampling"] },
    async (context) => {
      const output = await context.client.sample(await context.baseSampler(), {
        ...sampleInput({ seed: 2 ** 31 - 1 }),
        num_samples: 2,
      });
      equal(output.sequences.length, 2);
    },
  ),
  check(
    "sampling",
    "at temperature 0 takes the likeliest token",
    { needs: ["base-sampling"] },
    async (context) => {
      const base = await context.baseSampler();
      const greedy = firstSequence(
        await context.client.sample(base, sampleInput({ temperature: 0, seed: 1, max_tokens: 1 })),
      );
      const others = await context.client.sample(base, {
        ...sampleInput({ max_tokens: 1, seed: 9 }),
        num_samples: 16,
      });
      for (const { logprobs } of others.sequences)
        ok(
          (greedy.logprobs[0] ?? -Infinity) >= (logprobs[0] ?? 0) - tolerance,
          "a sampled token is likelier",
        );
    },
  ),
  check(
    "sampling",
    "gives the trainer's log-probabilities, before and after training",
    {},
    async (context) => {
      const { client } = context;
      const modelId = await context.createModel();
      for (const round of ["before", "after"]) {
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
          near(
            `log-probabilities ${round} training`,
            outputOf(trained, "logprobs", index),
            logprobs,
          );
        await stepOf(context, modelId, batch("cross_entropy", [datum()]), 5e-3);
      }
    },
  ),
  check(
    "sampling",
    "of the base model is untouched by training",
    { needs: ["base-sampling"] },
    async (context) => {
      const base = await context.baseSampler();
      const before = firstSequence(await context.client.sample(base, sampleInput()));
      await stepOf(context, await context.createModel(), batch("cross_entropy", [datum()]), 1e-1);
      const after = firstSequence(await context.client.sample(base, sampleInput()));
      deepEqual(after.tokens, before.tokens);
      near("log-probabilities", after.logprobs, before.logprobs);
    },
  ),
  check(
    "sampling",
    "answers many requests in their order",
    { needs: ["base-sampling"] },
    async (context) => {
      const base = await context.baseSampler();
      const inputs = [5, 6, 7, 8].map((seed) => sampleInput({ seed }));
      const results = await context.client.sampleWave(base, inputs);
      for (const [index, input] of inputs.entries()) {
        const result = results[index];
        ok(result?.status === "completed", `request ${index} failed`);
        deepEqual(
          firstSequence(await context.client.sample(base, input)).tokens,
          firstSequence(result.output).tokens,
        );
      }
    },
  ),
  check(
    "sampling",
    "runs a wave as one batch",
    { needs: ["base-sampling", "waves"] },
    async (context) => {
      const base = await context.baseSampler();
      const inputs = [5, 6, 7, 8].map((seed) => sampleInput({ seed }));
      // The same rounding, too.
      deepEqual(
        await context.client.sampleWave(base, inputs),
        await context.client.sampleWave(base, inputs),
      );
    },
  ),
  check(
    "sampling",
    "stops at a stop token and says so",
    { needs: ["base-sampling"] },
    async (context) => {
      const base = await context.baseSampler();
      const free = firstSequence(
        await context.client.sample(base, sampleInput({ temperature: 0 })),
      );
      equal(free.stop_reason, "length");
      const [stopToken] = free.tokens;
      ok(stopToken !== undefined, "the sample is empty");
      const stopped = firstSequence(
        await context.client.sample(base, sampleInput({ temperature: 0, stop: [stopToken] })),
      );
      deepEqual([stopped.stop_reason, stopped.tokens], ["stop", [stopToken]]);
    },
  ),
  check(
    "constraints",
    "are obeyed by every sample, as regular expression and as JSON schema",
    { needs: ["constraints", "base-sampling"] },
    async (context) => {
      const base = await context.baseSampler();
      const output = await context.client.sample(base, {
        ...sampleInput({ constraint: regex, max_tokens: 32 }),
        num_samples: 4,
      });
      for (const { tokens } of output.sequences) {
        const text = context.decode(tokens);
        ok(/^(ADD: [a-z]{1,6}|UPDATE [0-3]|NOOP)$/.test(text), `sampled ${JSON.stringify(text)}`);
      }
      const schema = {
        type: "object",
        properties: { id: { enum: [1, 2, 3] } },
        required: ["id"],
        additionalProperties: false,
      };
      const json = await context.client.sample(
        base,
        sampleInput({
          constraint: { type: "json_schema", value: JSON.stringify(schema) },
          max_tokens: 48,
        }),
      );
      const text = context.decode(firstSequence(json).tokens);
      ok(/^\s*\{\s*"id"\s*:\s*[123]\s*\}\s*$/.test(text), `sampled ${JSON.stringify(text)}`);
    },
  ),
  check(
    "constraints",
    "give the sampler the trainer's log-probabilities too",
    { needs: ["constraints"] },
    async (context) => {
      const modelId = await context.createModel();
      const sampler = await context.client.saveWeightsForSampler(modelId);
      const output = await context.client.sample(sampler, {
        ...sampleInput({ constraint: regex, max_tokens: 32 }),
        num_samples: 3,
      });
      const trained = await context.client.forward(
        modelId,
        batch(
          "cross_entropy",
          output.sequences.map(({ tokens }) => datum({}, tokens, regex)),
        ),
      );
      for (const [index, { logprobs }] of output.sequences.entries())
        near("log-probabilities", outputOf(trained, "logprobs", index), logprobs);
    },
  ),
  check(
    "constraints",
    "that make no sense are refused",
    { needs: ["constraints", "base-sampling"] },
    async (context) => {
      await rejects(
        context.client.sample(
          await context.baseSampler(),
          sampleInput({ constraint: { type: "regex", value: "(((" } }),
        ),
        isModelCallError,
      );
    },
  ),
  check(
    "repeated requests",
    "are answered with the same future, and a number used twice for something else is refused",
    { needs: ["repeats"] },
    async (context) => {
      const transport = createTransport({ baseUrl: context.baseUrl, token: context.token });
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
          base_model: context.baseModel,
          lora_config: { rank: 4, seed: 1 },
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
      equal(second.request_id, first.request_id);
      const other = {
        ...request,
        forward_backward_input: batch("cross_entropy", [datum(), datum()]),
      };
      await rejects(transport.post("/forward_backward", other, futureSchema, once), {
        status: 409,
      });
      // The gradient was added once: one step with it equals one step of a model that was asked once.
      const step = { model_id: model.model_id, adam_params: adam(1e-3), seq_id: 2 };
      const future = await transport.post("/optim_step", step, futureSchema, once);
      const { metrics } = await transport.retrieve(
        future.request_id,
        z.object({ metrics: z.record(z.string(), z.number()) }),
      );
      const control = await context.createModel();
      const { norm } = await stepOf(context, control, batch("cross_entropy", [datum()]), 1e-3);
      near("gradient norm", [metrics["grad_norm:last"] ?? Number.NaN], [norm], 1e-3 * norm);
      const gone = await transport.post(
        "/unload_model",
        { model_id: model.model_id },
        futureSchema,
        once,
      );
      await transport.retrieve(gone.request_id, z.looseObject({}));
    },
  ),
  check("errors", "refuse a wrong token", { needs: ["token"] }, async ({ baseUrl }) => {
    await rejects(createEngineClient({ baseUrl, token: "wrong" }).createSession(), { status: 401 });
  }),
  check(
    "errors",
    "refuse an unknown base model",
    { needs: ["base-model-check"] },
    async ({ client, sessionId }) => {
      const lora = { rank: 2, seed: 0 };
      await rejects(
        client.createModel({ sessionId, baseModel: "no-such-model", role: "policy", lora }),
        isModelCallError,
      );
    },
  ),
  check("errors", "say what was wrong and leave the engine working", {}, async (context) => {
    const { client } = context;
    const modelId = await context.createModel();
    const tooLong = datum();
    tooLong.loss_fn_inputs.target_tokens = { data: Array.from({ length: 99 }, () => 65) };
    const faults = {
      "more targets than tokens": batch("cross_entropy", [tooLong]),
      "weights of another length": batch("cross_entropy", [datum({ weights: [1] })]),
      "an unknown token": batch("cross_entropy", [datum({}, [10_000_000])]),
      "no advantages": batch("ppo", [datum()]),
    };
    for (const [fault, input] of Object.entries(faults)) {
      const error = await client.forwardBackward(modelId, input).catch((caught: unknown) => caught);
      ok(error instanceof ModelCallError, `${fault}: accepted`);
      ok(
        !error.retryable && (error.status === 400 || error.status === 422),
        `${fault}: status ${String(error.status)}, retryable ${String(error.retryable)}`,
      );
    }
    const sampler = await client.saveWeightsForSampler(modelId);
    await rejects(
      client.sample(sampler, sampleInput({ max_tokens: 10_000_000 })),
      isModelCallError,
    );
    equal((await logProbsOf(context, modelId)).length, completion.length);
  }),
  check(
    "errors",
    "include a model that was unloaded",
    {},
    async ({ client, baseModel, sessionId }) => {
      const lora = { rank: 4, seed: 1 };
      const modelId = await client.createModel({ sessionId, baseModel, role: "policy", lora });
      await client.unloadModel(modelId);
      await rejects(
        client.forward(modelId, batch("cross_entropy", [datum()])),
        (error) => error instanceof ConfigError,
      );
    },
  ),
];

export type EngineCheckResult =
  | { readonly status: "passed" }
  | { readonly status: "failed"; readonly reason: string }
  | { readonly status: "not offered"; readonly reason: string };

/** Why the engine need not pass a check, or undefined. */
function reasonNotOffered(
  { needs, losses }: EngineCheck,
  lacks: EngineClient["lacks"],
  capabilities: ServerCapabilities,
): string | undefined {
  for (const feature of needs) {
    const reason = lacks[feature];
    if (reason !== undefined) return reason;
  }
  const absent = losses.find((loss) => !capabilities.loss_fns.includes(loss));
  return absent === undefined ? undefined : `no loss "${absent}"`;
}

/** Runs checks of one engine one after another. Only what ends the engine itself rejects. */
export function createCheckRunner(
  subject: EngineSubject,
): (one: EngineCheck) => Promise<EngineCheckResult> {
  const { client, baseModel } = subject;
  let opened: Promise<{ sessionId: string; capabilities: ServerCapabilities }> | undefined;
  const open = async () => ({
    sessionId: await client.createSession(),
    capabilities: await client.getServerCapabilities(),
  });
  return async (one) => {
    opened ??= open();
    const { sessionId, capabilities } = await opened;
    const reason = reasonNotOffered(one, client.lacks, capabilities);
    if (reason !== undefined) return { status: "not offered", reason };
    const models: string[] = [];
    try {
      await one.run({
        ...subject,
        sessionId,
        capabilities,
        async createModel(role = "policy", seed = 1) {
          const lora = { rank: 4, seed };
          const modelId = await client.createModel({ sessionId, baseModel, role, lora });
          models.push(modelId);
          return modelId;
        },
        baseSampler: () => client.createSamplingSession(sessionId, { baseModel }),
      });
      return { status: "passed" };
    } catch (error) {
      return { status: "failed", reason: error instanceof Error ? error.message : String(error) };
    } finally {
      // An engine has room for a few adapters at a time.
      for (const modelId of models) await client.unloadModel(modelId);
    }
  };
}
