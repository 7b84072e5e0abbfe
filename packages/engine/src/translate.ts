import {
  ConfigError,
  ModelCallError,
  type AdamParams,
  type Datum,
  type ForwardBackwardInput,
  type ForwardBackwardOutput,
  type LoraConfig,
  type ModelRole,
  type SampleOutput,
  type SampleRequest,
  type ServerCapabilities,
  type TensorData,
} from "@memory-r1/spec";
import type { EngineDialect, EngineDialectName, EngineFeature } from "./dialects.ts";

/** What the caller decides about a sample; the client adds session, `seq_id` and wave. */
export type SampleInput = Pick<
  SampleRequest,
  "prompt" | "num_samples" | "sampling_params" | "prompt_logprobs"
>;

/** What a model's files say where the engine does not: the client checks requests by it. */
export interface EngineFacts {
  /** Prompt and completion together. */
  readonly maxContextLength: number;
  /** Token ids are below this. */
  readonly vocabularySize: number;
  /** The tokens that end a completion, which an engine of `stopTokens: explicit` must be told. */
  readonly eosTokenIds: readonly number[];
  readonly dtype: string;
  readonly device: string;
}

/** A batch in the engine's own form; losses have the engine's names. */
export interface WirePass {
  readonly input: Omit<ForwardBackwardInput, "loss_fn"> & { readonly loss_fn: string };
  /** From the engine's answer, which may have `elementwise_loss`, to the protocol's. */
  readonly read: (output: WireOutput) => ForwardBackwardOutput;
}

export interface WireOutput extends Omit<ForwardBackwardOutput, "loss_fn_outputs"> {
  readonly loss_fn_outputs: readonly (ForwardBackwardOutput["loss_fn_outputs"][number] & {
    readonly elementwise_loss?: TensorData | undefined;
  })[];
}

/**
 * The requests and answers of one dialect, as pure functions: the client calls them and knows nothing of engines.
 * @throws ConfigError for what the engine lacks, ModelCallError (status 422) for a request that it would not refuse
 * itself but carry out wrongly.
 */
export interface Translation {
  /** For an engine that says nothing about itself. */
  readonly capabilities:
    | "declared"
    | ((supportedModels: ServerCapabilities["supported_models"]) => ServerCapabilities);
  readonly lacks: EngineDialect["lacks"];
  readonly samplers: EngineDialect["wire"]["samplers"];
  /** @throws ConfigError with the reason where the engine lacks it. */
  ensureOffered(feature: EngineFeature): void;
  model(role: ModelRole, lora: LoraConfig): LoraConfig;
  pass(input: ForwardBackwardInput): WirePass;
  adam(parameters: AdamParams): AdamParams;
  metrics(metrics: Readonly<Record<string, number>>): Readonly<Record<string, number>>;
  sample(input: SampleInput): SampleInput;
  sampled(output: SampleOutput): SampleOutput;
}

const requiredTensors = {
  cross_entropy: [],
  importance_sampling: ["logprobs", "advantages"],
  ppo: ["logprobs", "advantages"],
  cispo: ["logprobs", "advantages"],
} as const satisfies Record<string, readonly (keyof Datum["loss_fn_inputs"])[]>;

const toTensor = (data: readonly number[]): TensorData => ({ data: [...data] });

const refused = (message: string): ModelCallError =>
  new ModelCallError(message, { status: 422, retryable: false });

/** The translation of a dialect. Facts are needed where the engine does not check its requests. */
export function createTranslation(
  name: EngineDialectName,
  dialect: EngineDialect,
  facts: EngineFacts | undefined,
): Translation {
  const { wire, lacks } = dialect;

  function need(): EngineFacts {
    if (facts === undefined)
      throw new ConfigError(
        `dialect ${name}: the engine checks no request, so that the client must know the model's files: give its folder`,
      );
    return facts;
  }

  function ensureOffered(feature: EngineFeature): void {
    const reason = lacks[feature];
    if (reason !== undefined)
      throw new ConfigError(`an engine of ${name} cannot do this: ${reason}`);
  }

  function checkTokens(tokens: readonly number[]): void {
    const { vocabularySize } = need();
    const unknown = tokens.find(
      (token) => !Number.isInteger(token) || token < 0 || token >= vocabularySize,
    );
    if (unknown !== undefined)
      throw refused(`token ${unknown} is not in the model's vocabulary of ${vocabularySize}`);
  }

  /** One datum whose tensors are all there and of one length: what the protocol's own engine checks itself. */
  function checkDatum(datum: Datum, loss: string, index: number): void {
    const { maxContextLength } = need();
    const inputs = datum.loss_fn_inputs;
    const tokens = datum.model_input.chunks.flatMap((chunk) => chunk.tokens);
    const length = inputs.target_tokens.data.length;
    checkTokens([...tokens, ...inputs.target_tokens.data]);
    if (tokens.length > maxContextLength)
      throw refused(
        `datum ${index} has ${tokens.length} tokens, the model's context ${maxContextLength}`,
      );
    if (length === 0 || length > tokens.length)
      throw refused(`datum ${index} has ${length} targets for ${tokens.length} tokens of input`);
    for (const [key, tensor] of Object.entries(inputs))
      if (tensor !== undefined && tensor.data.length !== length)
        throw refused(`datum ${index} has ${tensor.data.length} ${key} for ${length} targets`);
    for (const [known, keys] of Object.entries(requiredTensors))
      for (const key of known === loss ? keys : [])
        if (inputs[key] === undefined)
          throw refused(`datum ${index} has no ${key}, which ${loss} needs`);
    if (datum.constraint !== undefined) ensureOffered("constraints");
  }

  /** The settings as they are sent: without those that are off and that the engine does not know. */
  function toWireSettings({
    loss_fn,
    loss_fn_config,
  }: ForwardBackwardInput): Record<string, number> {
    const known =
      dialect.capabilities === "declared" ? {} : (dialect.capabilities.loss_fn_settings ?? {});
    const keys = known[loss_fn];
    if (keys === undefined) throw new ConfigError(`an engine of ${name} has no loss "${loss_fn}"`);
    const given = loss_fn_config ?? {};
    const isOff = (key: string, value: number): boolean =>
      value === 0 || (key.startsWith("kl_") && (given.kl_coefficient ?? 0) === 0);
    for (const [key, value] of Object.entries(given))
      if (!keys.includes(key) && !isOff(key, value))
        throw new ConfigError(
          `an engine of ${name} has no setting "${key}" for the loss "${loss_fn}": leave it out`,
        );
    return Object.fromEntries(Object.entries(given).filter(([key]) => keys.includes(key)));
  }

  /** The tensors of a datum as they are sent, and what undoes the scale of its losses. */
  function toWireDatum(datum: Datum, loss: string, count: number): { datum: Datum; scale: number } {
    const inputs = datum.loss_fn_inputs;
    const length = inputs.target_tokens.data.length;
    const tokens = datum.model_input.chunks.flatMap((chunk) => chunk.tokens).length;
    const before = wire.targets === "full" ? tokens - length : 0;
    const pad = (data: readonly number[]): TensorData =>
      toTensor([...Array.from({ length: before }, () => 0), ...data]);
    const weights = inputs.weights?.data ?? Array.from({ length }, () => 1);
    const tensors: Record<string, TensorData> = {
      target_tokens: pad(inputs.target_tokens.data),
      weights: pad(weights),
    };
    for (const key of ["logprobs", "advantages"] as const) {
      const tensor = inputs[key];
      if (tensor !== undefined) tensors[key] = pad(tensor.data);
    }
    let scale = 1;
    if (wire.reduction === "mean-of-sequence-means") {
      // With weights of 0 and 1 the engine divides by their count and by the number of sequences, both known here;
      // and every loss is linear in a positive factor of its advantages, which take the weights in.
      const mask = weights.map((weight) => (weight === 0 ? 0 : 1));
      const counted = mask.filter((value) => value === 1).length;
      scale = Math.max(counted, 1) * count;
      const factors =
        loss === "cross_entropy"
          ? weights
          : weights.map((weight, at) => weight * (inputs.advantages?.data[at] ?? 0));
      if (loss === "ppo" && weights.some((weight) => weight < 0))
        throw refused("ppo takes no negative weights: the clip would be on the wrong side");
      tensors.weights = pad(mask);
      tensors.advantages = pad(factors.map((factor) => factor * scale));
      // Cross-entropy is cispo with its ratio held at 1: -log-probability * advantage.
      if (loss === "cross_entropy") tensors.logprobs = pad(weights.map(() => 0));
    }
    return {
      scale,
      datum: {
        model_input: datum.model_input,
        loss_fn_inputs: { ...tensors, target_tokens: pad(inputs.target_tokens.data) },
      },
    };
  }

  function pass(input: ForwardBackwardInput): WirePass {
    if (wire.requestsAreChecked) return { input, read: (output) => toProtocolOutput(output) };
    const settings = toWireSettings(input);
    if (input.data.length === 0) throw refused("there is no datum");
    input.data.forEach((datum, index) => checkDatum(datum, input.loss_fn, index));
    const converted = input.data.map((datum) =>
      toWireDatum(datum, input.loss_fn, input.data.length),
    );
    const isScaled = wire.reduction === "mean-of-sequence-means";
    const heldAtOne = isScaled && input.loss_fn === "cross_entropy";
    return {
      input: {
        data: converted.map(({ datum }) => datum),
        loss_fn: heldAtOne ? "cispo" : input.loss_fn,
        ...(heldAtOne
          ? { loss_fn_config: { clip_low_threshold: 1, clip_high_threshold: 1 } }
          : Object.keys(settings).length === 0
            ? {}
            : { loss_fn_config: settings }),
      },
      read: (output) => {
        if (output.loss_fn_outputs.length !== input.data.length)
          throw new ModelCallError(
            `the engine answered ${output.loss_fn_outputs.length} datums of ${input.data.length}`,
            { retryable: false },
          );
        const losses = output.loss_fn_outputs.flatMap((one, index) =>
          (one.elementwise_loss?.data ?? []).map((loss) => loss / (converted[index]?.scale ?? 1)),
        );
        const hasLosses = output.loss_fn_outputs.every((one) => one.elementwise_loss !== undefined);
        return toProtocolOutput(
          {
            ...output,
            metrics: {
              ...output.metrics,
              ...(hasLosses ? { "loss:sum": losses.reduce((total, loss) => total + loss, 0) } : {}),
            },
          },
          input.data.map((datum) => datum.loss_fn_inputs.target_tokens.data.length),
        );
      },
    };
  }

  return {
    lacks,
    ensureOffered,
    pass,
    samplers: wire.samplers,
    capabilities:
      dialect.capabilities === "declared" ? "declared" : toCapabilities(dialect.capabilities, need),
    model(role, lora) {
      if (role === "critic") ensureOffered("critic");
      if (wire.fixedAlpha === undefined) return lora;
      if (lora.alpha !== undefined && lora.alpha !== wire.fixedAlpha)
        throw new ConfigError(
          `an engine of ${name} scales adapters by alpha ${wire.fixedAlpha}, not ${lora.alpha}: leave alpha out`,
        );
      if (lora.train_attn === false || lora.train_mlp === false || lora.train_unembed === true)
        throw new ConfigError(
          `an engine of ${name} trains attention and MLP, and not the unembedding: leave train_* out`,
        );
      return { rank: lora.rank, seed: lora.seed };
    },
    adam(parameters) {
      for (const [key, fixed] of Object.entries(wire.fixedAdam)) {
        const given = Object.entries(parameters).find(([field]) => field === key)?.[1];
        if (given !== fixed)
          throw new ConfigError(
            `an engine of ${name} takes ${key} ${fixed} whatever is sent, not ${given}: set it to ${fixed}`,
          );
      }
      return parameters;
    },
    metrics: (metrics) =>
      Object.fromEntries(
        Object.entries(metrics).map(([key, value]) => [wire.metricNames[key] ?? key, value]),
      ),
    sample(input) {
      if (wire.requestsAreChecked) return input;
      const { sampling_params: parameters } = input;
      if (parameters.constraint !== undefined) ensureOffered("constraints");
      if (input.prompt_logprobs === true) ensureOffered("prompt-log-probabilities");
      const prompt = input.prompt.chunks.flatMap((chunk) => chunk.tokens);
      const { maxContextLength, eosTokenIds } = need();
      checkTokens(prompt);
      if (prompt.length === 0) throw refused("the prompt is empty");
      if (prompt.length + parameters.max_tokens > maxContextLength)
        throw refused(
          `the prompt has ${prompt.length} tokens and max_tokens is ${parameters.max_tokens}: together they exceed ` +
            `the model's context of ${maxContextLength}`,
        );
      return {
        ...input,
        sampling_params: {
          ...parameters,
          ...(wire.stopTokens === "explicit"
            ? { stop: [...new Set([...(parameters.stop ?? []), ...eosTokenIds])] }
            : {}),
          ...(wire.seedLimit === undefined || parameters.seed === undefined
            ? {}
            : { seed: parameters.seed % wire.seedLimit }),
        },
      };
    },
    sampled(output) {
      const scores = output.prompt_logprobs;
      if (wire.promptLogProbsFrom === "first-token" || scores === undefined || scores === null)
        return output;
      return { ...output, prompt_logprobs: [null, ...scores] };
    },
  };
}

function toCapabilities(
  known: Exclude<EngineDialect["capabilities"], "declared">,
  need: () => EngineFacts,
): Exclude<Translation["capabilities"], "declared"> {
  return (supportedModels) => {
    const { maxContextLength, dtype, device } = need();
    return {
      supported_models: supportedModels,
      ...known,
      max_context_length: maxContextLength,
      dtype,
      device,
    };
  };
}

/** Drops what is not of the protocol, and of each tensor what stands before its targets. */
function toProtocolOutput(output: WireOutput, lengths?: readonly number[]): ForwardBackwardOutput {
  return {
    ...output,
    loss_fn_outputs: output.loss_fn_outputs.map(({ logprobs, entropy, values }, index) => {
      const length = lengths?.[index];
      const cut = (tensor: TensorData | undefined): TensorData | undefined =>
        tensor === undefined || length === undefined
          ? tensor
          : toTensor(tensor.data.slice(-length));
      return { logprobs: cut(logprobs), entropy: cut(entropy), values: cut(values) };
    }),
  };
}
