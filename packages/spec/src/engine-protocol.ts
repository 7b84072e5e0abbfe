import { z } from "zod";

/**
 * The wire protocol between trainers and an engine, version 1: a frozen subset of the Tinker/SkyRL JSON dialect
 * (docs/engine-protocol.md lists what was added to it and why). Every path is under `/api/v1`; every request but
 * `healthz` carries `Authorization: Bearer <token>`. Calls marked F answer `{request_id}`; the result comes from
 * `retrieve_future`.
 */
export const engineProtocolVersion = 1;

export const tensorDataSchema = z.object({
  data: z.array(z.number()),
  dtype: z.enum(["int64", "float32"]).optional(),
  shape: z.array(z.number()).optional(),
});
export type TensorData = z.infer<typeof tensorDataSchema>;

/** Chunks are concatenated. Datums of one forward_backward whose first chunk is equal run as one packed row. */
export const modelInputSchema = z.object({
  chunks: z.array(z.object({ type: z.literal("encoded_text"), tokens: z.array(z.number()) })),
});
export type ModelInput = z.infer<typeof modelInputSchema>;

/** `tools`: the value is JSON, `{tools, tool_choice?}` in OpenAI's shapes; the completion is a call of one of them. */
const constraintTypes = ["regex", "json_schema", "tools"] as const;
export const constraintSchema = z.object({
  type: z.enum(constraintTypes),
  value: z.string(),
});

/** What each computes and is set by: docs/engine-protocol.md. */
export const lossFunctions = [
  "cross_entropy",
  "importance_sampling",
  "ppo",
  "cispo",
  "gspo",
  "ppo_critic",
] as const;
export type LossFunction = (typeof lossFunctions)[number];

/**
 * One training sequence. `model_input` is prompt + completion without its last token when targets are full
 * (`target_tokens` as long as the input, position i predicts target i), or targets are in suffix form: as long as the
 * completion and right-aligned. Tensors other than target_tokens have the same length as it.
 * `constraint` (extension): the completion was sampled under it; log-probabilities are renormalised over what it allowed.
 */
export const datumSchema = z.object({
  model_input: modelInputSchema,
  loss_fn_inputs: z.object({
    target_tokens: tensorDataSchema,
    weights: tensorDataSchema.optional(),
    logprobs: tensorDataSchema.optional(),
    advantages: tensorDataSchema.optional(),
    values: tensorDataSchema.optional(),
    returns: tensorDataSchema.optional(),
    /** Log-probabilities under the reference policy; needed where `kl_coefficient` is not 0. */
    ref_logprobs: tensorDataSchema.optional(),
  }),
  constraint: constraintSchema.optional(),
});
export type Datum = z.infer<typeof datumSchema>;

export const forwardBackwardInputSchema = z.object({
  data: z.array(datumSchema),
  loss_fn: z.enum(lossFunctions),
  /** By name; which loss function takes which, with their defaults: docs/engine-protocol.md. */
  loss_fn_config: z.record(z.string(), z.number()).nullish(),
});
export type ForwardBackwardInput = z.infer<typeof forwardBackwardInputSchema>;

export const forwardBackwardOutputSchema = z.object({
  loss_fn_output_type: z.string(),
  /** One per datum, in the order sent. Shapes: as long as the datum's target_tokens. `entropy` is an extension. */
  loss_fn_outputs: z.array(
    z.object({
      logprobs: tensorDataSchema.optional(),
      entropy: tensorDataSchema.optional(),
      values: tensorDataSchema.optional(),
    }),
  ),
  /** Keys end in `:sum`, `:mean`, `:max`, `:min` or `:last`: `loss:sum`, `tokens_computed:sum`, `tokens_unpacked:sum`, `seconds:sum`, `memory_peak_bytes:max`. */
  metrics: z.record(z.string(), z.number()),
});
export type ForwardBackwardOutput = z.infer<typeof forwardBackwardOutputSchema>;

export const adamParamsSchema = z.object({
  learning_rate: z.number(),
  beta1: z.number(),
  beta2: z.number(),
  eps: z.number(),
  weight_decay: z.number(),
  /** Global gradient norm above which gradients are scaled down; 0 is off. */
  grad_clip_norm: z.number(),
});
export type AdamParams = z.infer<typeof adamParamsSchema>;

/** `grad_norm:last` is the norm before clipping. */
export const optimStepOutputSchema = z.object({ metrics: z.record(z.string(), z.number()) });

export const loraConfigSchema = z.object({
  rank: z.number(),
  /** Scale is alpha / rank. Default 32, as SkyRL fixes it. */
  alpha: z.number().optional(),
  seed: z.number(),
  train_attn: z.boolean().optional(),
  train_mlp: z.boolean().optional(),
  train_unembed: z.boolean().optional(),
});
export type LoraConfig = z.infer<typeof loraConfigSchema>;

export const modelRoles = ["policy", "critic"] as const;
export type ModelRole = (typeof modelRoles)[number];

/** `stop`: token ids and strings; the model's own end-of-turn token always stops. A constraint's end counts as stop. */
export const samplingParamsSchema = z.object({
  max_tokens: z.number(),
  temperature: z.number(),
  top_p: z.number().optional(),
  top_k: z.number().optional(),
  seed: z.number().optional(),
  stop: z.array(z.union([z.number(), z.string()])).optional(),
  constraint: constraintSchema.optional(),
});
export type SamplingParams = z.infer<typeof samplingParamsSchema>;

/**
 * `wave` (extension): the engine waits until all `size` requests of the wave `id` have come and runs them as one batch
 * ordered by `seq_id`: the batch's composition, and so every rounding in it, no longer depends on arrival times.
 */
export const sampleRequestSchema = z.object({
  prompt: modelInputSchema,
  num_samples: z.number(),
  sampling_params: samplingParamsSchema,
  sampling_session_id: z.string(),
  seq_id: z.number(),
  prompt_logprobs: z.boolean().optional(),
  wave: z.object({ id: z.string(), size: z.number() }).optional(),
});
export type SampleRequest = z.infer<typeof sampleRequestSchema>;

/** `logprobs` are those of the tokens under the temperature-1 distribution after the constraint's mask. */
export const sampleOutputSchema = z.object({
  sequences: z.array(
    z.object({
      stop_reason: z.enum(["length", "stop"]),
      tokens: z.array(z.number()),
      logprobs: z.array(z.number()),
    }),
  ),
  prompt_logprobs: z.array(z.number().nullable()).nullish(),
});
export type SampleOutput = z.infer<typeof sampleOutputSchema>;

export const serverCapabilitiesSchema = z.object({
  supported_models: z.array(z.object({ model_name: z.string() })),
  engine: z.object({
    name: z.string(),
    version: z.string(),
    dialect: z.string(),
    protocol_version: z.number(),
  }),
  loss_fns: z.array(z.string()),
  /** The settings (`loss_fn_config`) of each loss function; an engine that does not say has ppo's two thresholds alone. */
  loss_fn_settings: z.record(z.string(), z.array(z.string())).optional(),
  reduction: z.enum(["sum", "mean_per_sequence"]),
  roles: z.array(z.enum(modelRoles)),
  full_finetune: z.boolean(),
  base_model_sampling: z.boolean(),
  adam_fields: z.array(z.string()),
  target_alignment: z.array(z.enum(["full", "suffix"])),
  constraints: z.array(z.enum(constraintTypes)),
  shared_prefix_packing: z.boolean(),
  waves: z.boolean(),
  /** Prompts' keys and values that are kept across requests: whole blocks, up to so many bytes. */
  prefix_cache: z.object({ block_tokens: z.number(), max_bytes: z.number() }).optional(),
  max_context_length: z.number(),
  /**
   * How training calls are cut and computed (extension): distinct tokens of a pass, the bytes that it may need beside
   * the weights (null: no bound), whether layers are computed again in the backward pass, and by what kernel.
   */
  training: z
    .object({
      micro_batch_tokens: z.number(),
      memory_bytes: z.number().nullable(),
      gradient_checkpointing: z.enum(["auto", "on", "off"]),
      attention: z.string(),
    })
    .optional(),
  /** What `/rerank` asks (extension); null: nothing, and the route is a 404. */
  reranker: z
    .object({ model_name: z.string(), max_tokens: z.number(), max_texts: z.number() })
    .nullish(),
  dtype: z.string(),
  device: z.string(),
});
export type ServerCapabilities = z.infer<typeof serverCapabilitiesSchema>;

export const futureSchema = z.object({ request_id: z.string() });
export const createSessionResponseSchema = z.object({ session_id: z.string() });
export const createModelResponseSchema = z.object({ model_id: z.string(), request_id: z.string() });
export const createSamplingSessionResponseSchema = z.object({ sampling_session_id: z.string() });
export const saveWeightsOutputSchema = z.object({ path: z.string() });
export const saveWeightsForSamplerOutputSchema = z.object({
  path: z.string().nullable(),
  sampling_session_id: z.string().nullable(),
});
/** Every error of the engine: HTTP status >= 400 and this body. */
export const engineErrorSchema = z.object({ detail: z.string() });
