import type { AdamParams, ServerCapabilities } from "@memory-r1/spec";

/**
 * What not every engine has. A dialect says which of them it lacks, and why; the client refuses what would need one,
 * and the conformance suite lists it as not offered.
 */
export const engineFeatures = {
  accumulation: "gradients of several forward_backward calls add up",
  "base-sampling": "the untouched base model can be sampled",
  "base-model-check": "an unknown base model is refused",
  constraints: "samples and log-probabilities under a grammar",
  critic: "a value head beside the policy",
  "kept-samplers": "weights kept under a name can be sampled",
  "prompt-log-probabilities": "log-probabilities of the prompt's tokens",
  repeats: "a request that is sent twice is carried out once",
  resume: "weights and optimiser can be saved and loaded",
  "sampler-start": "training can start from weights that were kept for sampling",
  token: "requests without the token are refused",
  waves: "requests of one wave run as one batch",
} as const;
export type EngineFeature = keyof typeof engineFeatures;

/** How the wire of an engine differs from the protocol of spec/engine-protocol.ts. The client translates every row. */
export interface DialectWire {
  /**
   * What forward_backward adds up. `mean-of-sequence-means`: of each sequence, sum(loss * weight) / sum(weight); and
   * optim_step divides by the number of sequences since the last one. The client scales advantages so that the sum of
   * the protocol is left.
   */
  readonly reduction: "sum" | "mean-of-sequence-means";
  /** `full`: targets as long as the input. The client pads targets in suffix form, and cuts what comes back. */
  readonly targets: "full-or-suffix" | "full";
  /** Values that the engine uses whatever is sent; anything else is refused. */
  readonly fixedAdam: Partial<AdamParams>;
  readonly fixedAlpha: number | undefined;
  /** `explicit`: the engine stops at no token by itself, so that the client names the model's own. */
  readonly stopTokens: "implicit" | "explicit";
  /** `second-token`: one entry fewer, without the null of the first token. */
  readonly promptLogProbsFrom: "first-token" | "second-token";
  /** Seeds are taken modulo this; undefined: any safe integer. */
  readonly seedLimit: number | undefined;
  /** `newest-only`: a sampler of older weights would be sampled with others than it was made of. */
  readonly samplers: "as-made" | "newest-only";
  /** Metric names of the engine and those of the protocol. */
  readonly metricNames: Readonly<Record<string, string>>;
  /** Lengths, token ids, the context's length and missing tensors: the engine pads, clamps or takes zeros. */
  readonly requestsAreChecked: boolean;
}

/** What one kind of engine makes of the protocol. */
export interface EngineDialect {
  /** How these rows are known. */
  readonly evidence: string;
  /** The engine's own answer where it gives one; otherwise what the client answers in its place. */
  readonly capabilities:
    | "declared"
    | Omit<ServerCapabilities, "supported_models" | "max_context_length" | "dtype" | "device">;
  /** Features that it has not, with the reason. */
  readonly lacks: Partial<Readonly<Record<EngineFeature, string>>>;
  readonly wire: DialectWire;
}

const protocolWire: DialectWire = {
  reduction: "sum",
  targets: "full-or-suffix",
  fixedAdam: {},
  fixedAlpha: undefined,
  stopTokens: "implicit",
  promptLogProbsFrom: "first-token",
  seedLimit: undefined,
  samplers: "as-made",
  metricNames: {},
  requestsAreChecked: true,
};

const skyRlMetricNames = { "skyrl.ai/grad_norm": "grad_norm:last" };
const clipSettings = ["clip_low_threshold", "clip_high_threshold"];
const skyRlTrainLosses = { cross_entropy: [], importance_sampling: [], ppo: clipSettings };

/** SkyRL draws `num_samples` seeds from one on, as 32-bit integers. */
const skyRlSeedLimit = 2 ** 31 - 1024;

/** What SkyRL lacks whatever runs below its API. */
const skyRlLacks = {
  "base-model-check":
    "create_model takes any base model's name and trains the one that it was started with",
  constraints: "no grammars in the sampler, nor masks in the trainer",
  repeats: "0.3.0 has no numbers on training requests: one that is sent twice is carried out twice",
  "sampler-start": "load_weights takes training checkpoints only, always with the optimiser",
  token: "no authentication",
  waves: "requests run with whatever else waits at the next poll",
} as const;

const skyRlTrainFacts = {
  evidence:
    "read from SkyRL 0.3.0 (skyrl/backends/skyrl_train_backend.py) and commit a9564572e; not run: it needs NVIDIA GPUs",
  lacks: {
    ...skyRlLacks,
    "base-sampling": "a colocated server has no base-model sampling session",
    critic: "its critic is averaged per micro-batch, which no scale on the client's side undoes",
    "kept-samplers":
      "the engine samples the newest weights of a model whatever checkpoint is named",
    "prompt-log-probabilities":
      "only with a base-model sampling session, which a colocated server has not",
  },
  wire: {
    ...protocolWire,
    targets: "full",
    // Of the server's own configuration: docs/scale-out.md starts it with these.
    fixedAdam: { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0, grad_clip_norm: 1 },
    fixedAlpha: 32,
    stopTokens: "explicit",
    seedLimit: skyRlSeedLimit,
    samplers: "newest-only",
    metricNames: { ...skyRlMetricNames, "total_loss:sum": "loss:sum" },
    requestsAreChecked: false,
  },
} as const satisfies Omit<EngineDialect, "capabilities">;

const skyRlCapabilities = (
  backend: string,
  losses: Record<string, string[]>,
  more: Pick<ServerCapabilities, "adam_fields" | "base_model_sampling">,
) => ({
  loss_fns: Object.keys(losses),
  loss_fn_settings: losses,
  engine: {
    name: `skyrl-${backend}`,
    version: "0.3.0",
    dialect: `skyrl-${backend}`,
    protocol_version: 1,
  },
  // After the client's translation.
  reduction: "sum" as const,
  roles: ["policy" as const],
  full_finetune: false,
  target_alignment: ["full" as const, "suffix" as const],
  constraints: [],
  shared_prefix_packing: false,
  waves: false,
  ...more,
});

/** Every engine that the client can talk to: one row for each difference, nothing of it in the training loop. */
export const engineDialects = {
  "memory-r1": {
    evidence: "the protocol itself; the conformance suite runs over it in the tests",
    capabilities: "declared",
    lacks: {},
    wire: protocolWire,
  },
  "skyrl-jax": {
    evidence:
      "SkyRL 0.3.0 with the JAX backend on a CPU: docs/scale-out.md says which checks were run; the rest is read from its source",
    capabilities: skyRlCapabilities(
      "jax",
      { ...skyRlTrainLosses, cispo: clipSettings },
      {
        adam_fields: ["learning_rate", "beta1", "beta2", "eps", "weight_decay"],
        base_model_sampling: true,
      },
    ),
    lacks: {
      ...skyRlLacks,
      accumulation:
        "optim_step divides by the number of sequences since the last one, which is not known when the first call is scaled",
      critic: "ppo_critic is for SkyRL's FSDP backend",
      "kept-samplers":
        "sampling kept weights loads them over those in training: samplers and trainer share an adapter's place",
    },
    wire: {
      ...protocolWire,
      reduction: "mean-of-sequence-means",
      targets: "full",
      fixedAdam: { grad_clip_norm: 0 },
      fixedAlpha: 32,
      stopTokens: "explicit",
      promptLogProbsFrom: "second-token",
      seedLimit: skyRlSeedLimit,
      samplers: "newest-only",
      metricNames: skyRlMetricNames,
      requestsAreChecked: false,
    },
  },
  "skyrl-fsdp": {
    ...skyRlTrainFacts,
    capabilities: skyRlCapabilities("fsdp", skyRlTrainLosses, {
      adam_fields: ["learning_rate"],
      base_model_sampling: false,
    }),
  },
  "skyrl-megatron": {
    ...skyRlTrainFacts,
    capabilities: skyRlCapabilities("megatron", skyRlTrainLosses, {
      adam_fields: ["learning_rate"],
      base_model_sampling: false,
    }),
  },
} as const satisfies Record<string, EngineDialect>;
export type EngineDialectName = keyof typeof engineDialects;

export const engineDialectNames: readonly EngineDialectName[] = [
  "memory-r1",
  "skyrl-jax",
  "skyrl-fsdp",
  "skyrl-megatron",
];
