import { ConfigError } from "@memory-r1/spec";
import { grpoConfigSchema, type GrpoConfigInput } from "./grpo-config.ts";

/** One value and where it is from: a paper, or a repository's commit and file. */
interface Setting<T> {
  readonly value: T;
  readonly source: string;
}

/** The same tree with a source beside every value. */
type Sourced<T> = T extends string | number | boolean
  ? Setting<T>
  : { readonly [Key in keyof T]: Sourced<T[Key]> };

/** Said by no peer, or not in a unit that fits: how long to train, what to watch meanwhile, and what is off unless asked for. */
type FreeSetting =
  | "steps"
  | "validateEvery"
  | "checkpointEvery"
  | "patience"
  | "resampleTries"
  | "samplingParts"
  | "logProbGapLimit";

type SettingTree = Setting<string | number | boolean> | { readonly [name: string]: SettingTree };

interface Preset {
  readonly description: string;
  /** Prompts per step. */
  readonly tasksPerStep: Setting<number>;
  readonly grpo: Sourced<Omit<GrpoConfigInput, FreeSetting>>;
  /** As the PPO configuration. */
  readonly ppo: SettingTree;
  /** What the original does and this project does not. */
  readonly departures: readonly string[];
}

/** Where the values of a preset come from. Files of verl and TRL are at the commits of the golden values. */
const paper = "arXiv 2508.19828, section 4.1";
const paperEquation = "arXiv 2508.19828, section 3";
const notGiven = (source: string): string => `not given by the paper; ${source}`;
const verl = (place: string): string => `verl@b178a3cd5 ${place}`;
const trl = (place: string): string => `trl@f2cd57710 ${place}`;
const huggingFace = trl("trainer/grpo_config.py, inherited from transformers TrainingArguments");
const laptop = "this repository, benchmarks/locomo-laptop.ts";
const untuned = "this repository, chosen and not tuned";
const ours = "this repository, docs/reproduction.md";

const verlYaml = (key: string): string => verl(`trainer/config/_generated_ppo_trainer.yaml ${key}`);
const verlCore = (name: string): string => verl(`trainer/ppo/core_algos.py ${name}`);
const trlConfig = (field: string): string => trl(`trainer/grpo_config.py ${field}`);
const trlTrainer = trl("trainer/grpo_trainer.py _generate_and_score_completions");
const trlPpo = (field: string): string => trl(`experimental/ppo/ppo_config.py ${field}`);
const torch = "PyTorch's default of AdamW, which verl leaves";

function from<T extends string | number | boolean>(value: T, source: string): Setting<T> {
  return { value, source };
}

const off = { value: 0, source: "off: not in the original" };

const verlAdam = {
  beta1: from(0.9, verlYaml("actor.optim.betas")),
  beta2: from(0.999, verlYaml("actor.optim.betas")),
  epsilon: from(1e-8, torch),
  weightDecay: from(0.01, verlYaml("actor.optim.weight_decay")),
  clipNorm: from(1, verlYaml("actor.grad_clip")),
};

const huggingFaceAdam = {
  beta1: from(0.9, huggingFace),
  beta2: from(0.999, huggingFace),
  epsilon: from(1e-8, huggingFace),
  weightDecay: from(0, huggingFace),
  clipNorm: from(1, huggingFace),
};

const defaultAdam = {
  beta1: from(0.9, torch),
  beta2: from(0.999, torch),
  epsilon: from(1e-8, torch),
  weightDecay: from(0, laptop),
  clipNorm: from(1, laptop),
};

const verlLoss = {
  kind: from("ppo", verlCore("compute_policy_loss_vanilla")),
  clipLow: from(0.2, verlYaml("actor.clip_ratio_low")),
  clipHigh: from(0.2, verlYaml("actor.clip_ratio_high")),
  dualClip: from(3, verlYaml("actor.clip_ratio_c")),
  logRatioClamp: from(20, verlCore("compute_policy_loss_vanilla")),
} as const;

const verlAdvantages = {
  scale: from("group", verlYaml("algorithm.norm_adv_by_std_in_grpo")),
  epsilon: from(1e-6, verlCore("compute_grpo_outcome_advantage")),
  bessel: from(true, verlCore("compute_grpo_outcome_advantage")),
  baseline: from("group-mean", verlCore("compute_grpo_outcome_advantage")),
} as const;

const tokenMean = { kind: from("token-mean", verlYaml("actor.loss_agg_mode")) } as const;

const verlGae = {
  gamma: from(1, verlYaml("algorithm.gamma")),
  lambda: from(1, verlYaml("algorithm.lam")),
};

const verlWhitening = {
  enabled: from(true, verlCore("compute_gae_advantage_return")),
  epsilon: from(1e-8, verl("utils/torch_functional.py masked_whiten")),
  divisorEpsilon: from(1e-8, verl("utils/torch_functional.py masked_mean")),
};

/** Complete, named configurations: every setting but how long to train, each with its source. */
export const presets = {
  paper: {
    description:
      "Memory-R1 as its paper gives it, and verl, in which it was trained, where it says nothing",
    tasksPerStep: from(128, `${paper} (batch size; prompts or responses is not said)`),
    grpo: {
      samplesPerTask: from(8, notGiven(trlConfig("num_generations"))),
      maxCompletionTokens: from(2048, paper),
      advantages: {
        ...verlAdvantages,
        scale: from("group", `${paperEquation}, A = (r - mean) / std`),
        epsilon: from(1e-6, notGiven(verlCore("compute_grpo_outcome_advantage"))),
      },
      loss: {
        ...verlLoss,
        kl: {
          coefficient: from(0.001, notGiven(verlYaml("actor.kl_loss_coef"))),
          estimator: from("k3", notGiven(verlYaml("actor.kl_loss_type"))),
          clamp: from(10, notGiven(verlCore("kl_penalty"))),
        },
        entropyCoefficient: off,
      },
      aggregation: tokenMean,
      epochs: from(1, notGiven(verlYaml("actor.ppo_epochs"))),
      minibatches: from(1, notGiven(verlYaml("actor.ppo_mini_batch_size"))),
      klCoefficient: off,
      learningRate: {
        peak: from(1e-6, paper),
        warmUpSteps: from(0, `${paper} (constant)`),
      },
      adam: verlAdam,
    },
    ppo: {
      samplesPerTask: from(1, notGiven(verlYaml("rollout.n"))),
      maxCompletionTokens: from(2048, paper),
      gae: verlGae,
      whitening: verlWhitening,
      loss: { ...verlLoss, entropyCoefficient: off },
      aggregation: tokenMean,
      epochs: from(1, notGiven(verlYaml("actor.ppo_epochs"))),
      minibatches: from(1, notGiven(verlYaml("actor.ppo_mini_batch_size"))),
      valueClip: from(0.5, notGiven(verlYaml("critic.cliprange_value"))),
      kl: {
        coefficient: from(0, notGiven(verlYaml("algorithm.use_kl_in_reward"))),
        estimator: from("k1", notGiven(verlYaml("algorithm.kl_penalty"))),
        clamp: off,
      },
      learningRate: { peak: from(1e-6, paper), warmUpSteps: from(0, `${paper} (constant)`) },
      criticLearningRate: { peak: from(1e-5, paper), warmUpSteps: from(0, `${paper} (constant)`) },
      criticWarmUpSteps: from(0, notGiven(verlYaml("trainer.critic_warmup"))),
      adam: verlAdam,
    },
    departures: [
      "The paper trains all weights; this engine trains LoRA adapters, which need rates a hundred times higher.",
      "How large a group is, how strong the KL penalty is and how many steps were taken is not given.",
    ],
  },

  "verl-parity": {
    description: "verl's defaults, for GRPO with the KL term that its examples turn on",
    tasksPerStep: from(1024, verlYaml("data.train_batch_size")),
    grpo: {
      samplesPerTask: from(5, "verl@03aefba40 examples/grpo_trainer/run_qwen2-7b.sh rollout.n"),
      maxCompletionTokens: from(512, verlYaml("data.max_response_length")),
      advantages: verlAdvantages,
      loss: {
        ...verlLoss,
        kl: {
          coefficient: from(0.001, verlYaml("actor.kl_loss_coef")),
          estimator: from("k3", verlYaml("actor.kl_loss_type low_var_kl")),
          clamp: from(10, verlCore("kl_penalty")),
        },
        entropyCoefficient: from(0, verlYaml("actor.entropy_coeff")),
      },
      aggregation: tokenMean,
      epochs: from(1, verlYaml("actor.ppo_epochs")),
      minibatches: from(4, verlYaml("data.train_batch_size 1024 / actor.ppo_mini_batch_size 256")),
      klCoefficient: from(0, verlYaml("algorithm.use_kl_in_reward")),
      learningRate: {
        peak: from(1e-6, verlYaml("actor.optim.lr")),
        warmUpSteps: from(0, verlYaml("actor.optim.lr_warmup_steps_ratio")),
      },
      adam: verlAdam,
    },
    ppo: {
      samplesPerTask: from(1, verlYaml("rollout.n")),
      maxCompletionTokens: from(512, verlYaml("data.max_response_length")),
      gae: verlGae,
      whitening: verlWhitening,
      loss: { ...verlLoss, entropyCoefficient: from(0, verlYaml("actor.entropy_coeff")) },
      aggregation: tokenMean,
      epochs: from(1, verlYaml("actor.ppo_epochs")),
      minibatches: from(4, verlYaml("data.train_batch_size 1024 / actor.ppo_mini_batch_size 256")),
      valueClip: from(0.5, verlYaml("critic.cliprange_value")),
      kl: {
        coefficient: from(0, verlYaml("algorithm.use_kl_in_reward")),
        estimator: from("k1", verlYaml("algorithm.kl_penalty kl")),
        clamp: off,
      },
      learningRate: {
        peak: from(1e-6, verlYaml("actor.optim.lr")),
        warmUpSteps: from(0, verlYaml("actor.optim.lr_warmup_steps_ratio")),
      },
      criticLearningRate: {
        peak: from(1e-5, verlYaml("critic.optim.lr")),
        warmUpSteps: from(0, verlYaml("critic.optim.lr_warmup_steps_ratio")),
      },
      criticWarmUpSteps: from(0, verlYaml("trainer.critic_warmup")),
      adam: verlAdam,
    },
    departures: [
      "verl averages token-mean per micro-batch and then the micro-batches; here it is the mean over all tokens of the step.",
      "verl recomputes the log-probabilities at sampling with the trainer; here they are the sampler's, and their gap is logged.",
      "verl adds 1e-8 to the lengths that it divides by.",
    ],
  },

  "trl-parity": {
    description: "TRL's defaults of GRPOTrainer, and of the experimental PPOTrainer",
    tasksPerStep: from(1, trlConfig("per_device_train_batch_size 8 / num_generations 8")),
    grpo: {
      samplesPerTask: from(8, trlConfig("num_generations")),
      maxCompletionTokens: from(512, trlConfig("max_completion_length")),
      advantages: {
        scale: from("group", trlConfig("scale_rewards")),
        epsilon: from(1e-4, trlTrainer),
        bessel: from(true, trl("trainer/utils.py nanstd")),
        baseline: from("group-mean", trlTrainer),
      },
      loss: {
        kind: from("ppo", trl("trainer/grpo_trainer.py _compute_loss")),
        clipLow: from(0.2, trlConfig("epsilon")),
        clipHigh: from(0.2, trlConfig("epsilon_high")),
        dualClip: from(0, trlConfig("delta")),
        logRatioClamp: from(0, trl("trainer/grpo_trainer.py _compute_loss")),
        kl: {
          coefficient: from(0, trlConfig("beta")),
          estimator: from("k3", trl("trainer/grpo_trainer.py _compute_loss")),
          clamp: from(0, trl("trainer/grpo_trainer.py _compute_loss")),
        },
        entropyCoefficient: from(0, trlConfig("entropy_coef")),
      },
      aggregation: { kind: from("token-mean", trlConfig("loss_type dapo")) },
      epochs: from(1, trlConfig("num_iterations")),
      minibatches: from(1, trlConfig("steps_per_generation")),
      klCoefficient: from(0, trlConfig("beta")),
      learningRate: {
        peak: from(1e-6, trlConfig("learning_rate")),
        warmUpSteps: from(0, huggingFace),
      },
      adam: huggingFaceAdam,
    },
    ppo: {
      samplesPerTask: from(1, trl("experimental/ppo/ppo_trainer.py train")),
      maxCompletionTokens: from(53, trlPpo("response_length")),
      gae: { gamma: from(1, trlPpo("gamma")), lambda: from(0.95, trlPpo("lam")) },
      whitening: {
        enabled: from(true, trl("experimental/ppo/ppo_trainer.py train")),
        epsilon: from(1e-8, trl("experimental/ppo/ppo_trainer.py masked_whiten")),
        divisorEpsilon: from(0, trl("experimental/ppo/ppo_trainer.py masked_mean")),
      },
      loss: {
        kind: from("ppo", trl("experimental/ppo/ppo_trainer.py train")),
        clipLow: from(0.2, trlPpo("cliprange")),
        clipHigh: from(0.2, trlPpo("cliprange")),
        dualClip: off,
        logRatioClamp: off,
        entropyCoefficient: off,
      },
      aggregation: { kind: from("token-mean", trl("experimental/ppo/ppo_trainer.py train")) },
      epochs: from(4, trlPpo("num_ppo_epochs")),
      minibatches: from(1, trlPpo("num_mini_batches")),
      valueClip: from(0.2, trlPpo("cliprange_value")),
      kl: {
        coefficient: from(0.05, trlPpo("kl_coef")),
        estimator: from("k1", trlPpo("kl_estimator")),
        clamp: off,
      },
      learningRate: { peak: from(5e-5, huggingFace), warmUpSteps: from(0, huggingFace) },
      criticLearningRate: { peak: from(5e-5, huggingFace), warmUpSteps: from(0, huggingFace) },
      criticWarmUpSteps: off,
      adam: huggingFaceAdam,
    },
    departures: [
      "TRL's rate falls linearly to 0 over the run; here it stays where it is.",
      "TRL's PPO rewards the position behind the last token and trains a value there; here the last token is rewarded.",
      "TRL's PPO has one optimiser for policy and critic, with the value loss times 0.1; here each has its own.",
      "TRL's PPO samples at temperature 0.7; here training always samples at 1.",
    ],
  },

  laptop: {
    description: "What benchmarks/locomo-laptop trains SmolLM2-135M with, on two CPU cores",
    tasksPerStep: from(8, laptop),
    grpo: {
      samplesPerTask: from(8, laptop),
      maxCompletionTokens: from(16, ours),
      advantages: {
        ...verlAdvantages,
        baseline: from("group-mean", ours),
      },
      loss: {
        kind: from("importance_sampling", `${ours}: one update per step, so every ratio is 1`),
      },
      aggregation: { kind: from("token-mean", laptop) },
      epochs: from(1, laptop),
      minibatches: from(1, laptop),
      klCoefficient: from(0, ours),
      learningRate: { peak: from(5e-4, laptop), warmUpSteps: from(0, laptop) },
      adam: defaultAdam,
    },
    ppo: {
      samplesPerTask: from(8, untuned),
      maxCompletionTokens: from(16, ours),
      gae: verlGae,
      whitening: verlWhitening,
      loss: {
        kind: from("ppo", verlCore("compute_policy_loss_vanilla")),
        clipLow: from(0.2, verlYaml("actor.clip_ratio_low")),
        clipHigh: from(0.2, verlYaml("actor.clip_ratio_high")),
      },
      aggregation: { kind: from("token-mean", laptop) },
      epochs: from(1, untuned),
      minibatches: from(1, untuned),
      valueClip: from(0.5, verlYaml("critic.cliprange_value")),
      kl: {
        coefficient: from(0, ours),
        estimator: from("k1", verlYaml("algorithm.kl_penalty kl")),
        clamp: off,
      },
      learningRate: { peak: from(5e-4, untuned), warmUpSteps: from(0, untuned) },
      criticLearningRate: { peak: from(1e-3, untuned), warmUpSteps: from(0, untuned) },
      criticWarmUpSteps: from(0, untuned),
      adam: defaultAdam,
    },
    departures: [
      "Everything is smaller than in the paper; docs/reproduction.md lists what and why.",
    ],
  },
} as const satisfies Record<string, Preset>;

export type PresetName = keyof typeof presets;

export const presetNames: readonly string[] = Object.keys(presets);

export interface ResolvedPreset {
  readonly name: string;
  readonly description: string;
  readonly tasksPerStep: number;
  /** Everything but how long to train, what to watch meanwhile and what is off unless asked for. */
  readonly grpo: Omit<GrpoConfigInput, FreeSetting>;
  /** The same of PPO, to be checked by its schema. */
  readonly ppo: unknown;
  readonly departures: readonly string[];
}

/**
 * A preset's values, to be overlaid with an experiment's own.
 * @throws ConfigError for a name that is none.
 */
export function resolvePreset(name: string): ResolvedPreset {
  const preset = findPreset(name);
  return {
    name,
    description: preset.description,
    tasksPerStep: preset.tasksPerStep.value,
    grpo: presetGrpoSchema.parse(dropSources(preset.grpo)),
    ppo: dropSources(preset.ppo),
    departures: preset.departures,
  };
}

/**
 * Every setting of a preset with its source, by its path: `grpo.learningRate.peak`.
 * @throws ConfigError for a name that is none.
 */
export function listPresetSettings(name: string): readonly {
  readonly path: string;
  readonly value: string | number | boolean;
  readonly source: string;
}[] {
  const { tasksPerStep, grpo, ppo } = findPreset(name);
  const list = (
    path: string,
    node: SettingTree,
  ): readonly { path: string; value: string | number | boolean; source: string }[] =>
    isSetting(node)
      ? [{ path, ...node }]
      : Object.entries(node).flatMap(([key, child]) =>
          list(path === "" ? key : `${path}.${key}`, child),
        );
  return list("", { tasksPerStep, grpo, ppo });
}

const presetGrpoSchema = grpoConfigSchema.omit({
  steps: true,
  validateEvery: true,
  checkpointEvery: true,
  patience: true,
  resampleTries: true,
  samplingParts: true,
  logProbGapLimit: true,
});

interface AnyPreset {
  readonly description: string;
  readonly tasksPerStep: Setting<number>;
  readonly grpo: SettingTree;
  readonly ppo: SettingTree;
  readonly departures: readonly string[];
}

function findPreset(name: string): AnyPreset {
  const known: Readonly<Record<string, AnyPreset>> = presets;
  const preset = Object.hasOwn(known, name) ? known[name] : undefined;
  if (preset === undefined)
    throw new ConfigError(`no preset "${name}": use one of ${presetNames.join(", ")}`);
  return preset;
}

function isSetting(node: SettingTree): node is Setting<string | number | boolean> {
  return typeof node.source === "string";
}

function dropSources(node: SettingTree): unknown {
  if (isSetting(node)) return node.value;
  return Object.fromEntries(
    Object.entries(node).map(([name, child]) => [name, dropSources(child)]),
  );
}
