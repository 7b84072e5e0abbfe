import { rm } from "node:fs/promises";
import { join } from "node:path";
import { createEngineGenerator, type ChatTokenizer, type EngineClient } from "@memory-r1/engine";
import {
  ConfigError,
  ModelCallError,
  type ForwardBackwardOutput,
  type LoraConfig,
} from "@memory-r1/spec";
import {
  buildDatum,
  type Decision,
  type TargetAlignment,
  type TrainingSequence,
} from "./datums.ts";
import type { PolicyEngine } from "./policy-engine.ts";
import { toWireLoss } from "./policy-loss.ts";

/** The calls that a policy is made of. */
export type PolicyClient = Pick<
  EngineClient,
  | "getServerCapabilities"
  | "createModel"
  | "unloadModel"
  | "forward"
  | "forwardBackward"
  | "optimStep"
  | "saveWeights"
  | "loadWeights"
  | "saveWeightsForSampler"
  | "saveNamedWeightsForSampler"
  | "sampleWave"
>;

export interface PolicyEngineOptions {
  readonly client: PolicyClient;
  readonly sessionId: string;
  /** One of the engine's `supported_models`. */
  readonly baseModel: string;
  readonly lora: LoraConfig;
  readonly tokenizer: ChatTokenizer;
}

/**
 * A new trainable policy on an engine: one LoRA adapter on the base model, sampled at first as it begins, which is the
 * base model. The reference policy, made when first asked for, is a second adapter that is never trained: unlike
 * `prompt_logprobs` of the base model it knows constraints and shares prompts.
 * @throws ConfigError if the engine does not sum losses or lacks the losses used here.
 */
export async function createPolicyEngine(options: PolicyEngineOptions): Promise<PolicyEngine> {
  const { client, sessionId, baseModel, lora, tokenizer } = options;
  const capabilities = await client.getServerCapabilities();
  const engineName = `engine ${capabilities.engine.name} ${capabilities.engine.version}`;
  if (capabilities.reduction !== "sum")
    throw new ConfigError(
      `${engineName} reduces losses by ${capabilities.reduction}, but advantages are scaled for a sum: use another engine`,
    );
  for (const loss of ["importance_sampling", "ppo"])
    if (!capabilities.loss_fns.includes(loss))
      throw new ConfigError(`${engineName} has no loss "${loss}": use another engine`);
  const alignment: TargetAlignment = capabilities.target_alignment.includes("suffix")
    ? "suffix"
    : "full";
  const createModel = (): Promise<string> =>
    client.createModel({ sessionId, baseModel, role: "policy", lora });
  let modelId = await createModel();
  let isFresh = true;

  let referenceModelId: string | undefined;
  let samplingSessionId: string | undefined;
  let samplerVersion = 0;
  async function refreshSampler(): Promise<string> {
    samplingSessionId = await client.saveWeightsForSampler(modelId);
    samplerVersion += 1;
    return samplingSessionId;
  }
  // A cache may be keyed by the description: it must change with the weights.
  const describe = (): string => `${baseModel} with adapter ${modelId}, version ${samplerVersion}`;
  const generator = createEngineGenerator({
    client,
    tokenizer,
    samplingSessionId: () => samplingSessionId ?? refreshSampler(),
    description: describe(),
  });

  return {
    get description() {
      return describe();
    },
    generate: (requests) => generator.generate(requests),
    async refreshSampler() {
      await refreshSampler();
    },
    async forwardBackward(sequences, loss) {
      isFresh = false;
      const output = await client.forwardBackward(modelId, {
        data: sequences.map((sequence) => buildDatum(sequence, alignment)),
        ...toWireLoss(loss),
      });
      const hasEntropy = output.loss_fn_outputs.every((datum) => datum.entropy !== undefined);
      const tokensComputed = output.metrics["tokens_computed:sum"];
      const tokensUnpacked = output.metrics["tokens_unpacked:sum"];
      return {
        logProbs: readCompletions(output, sequences, "logprobs"),
        ...(hasEntropy ? { entropies: readCompletions(output, sequences, "entropy") } : {}),
        ...(tokensComputed === undefined ? {} : { tokensComputed }),
        ...(tokensUnpacked === undefined ? {} : { tokensUnpacked }),
      };
    },
    async optimStep(adam) {
      const metrics = await client.optimStep(modelId, adam);
      // The second name is SkyRL's.
      const gradientNorm = metrics["grad_norm:last"] ?? metrics["skyrl.ai/grad_norm"];
      return gradientNorm === undefined ? {} : { gradientNorm };
    },
    async referenceLogProbs(decisions) {
      referenceModelId ??= await createModel();
      const sequences = decisions.map((decision): TrainingSequence => ({
        ...decision,
        advantages: decision.completionTokens.map(() => 0),
      }));
      const output = await client.forward(referenceModelId, {
        data: sequences.map((sequence) => buildDatum(sequence, alignment)),
        loss_fn: "importance_sampling",
      });
      return readCompletions(output, decisions, "logprobs");
    },
    saveState: (name) => client.saveWeights(modelId, name),
    async loadState(path) {
      isFresh = false;
      await client.loadWeights(modelId, path, { optimizer: true });
    },
    async loadSamplerWeights(path) {
      // Engines load weights into a new model only. What the old one has saved outlives it.
      const oldId = modelId;
      if (!isFresh) modelId = await createModel();
      isFresh = false;
      await client.loadWeights(modelId, path, { optimizer: false });
      if (oldId === modelId) return;
      // Its sampling session ends with it.
      samplingSessionId = undefined;
      await client.unloadModel(oldId);
    },
    saveSamplerWeights: (name) => client.saveNamedWeightsForSampler(modelId, name),
  };
}

/**
 * Deletes checkpoints of the embedded engine by their paths `memory-r1://<model>/<kind>/<name>`, which stand for folders
 * under its checkpoints folder. One that is not there is no error.
 * @throws ConfigError for any other path.
 */
export function createCheckpointRemover(
  checkpointsDirectory: string,
): (path: string) => Promise<void> {
  return async (path) => {
    const match = /^memory-r1:\/\/([\w-]+)\/(weights|sampler_weights)\/([\w-]+)$/.exec(path);
    const [, model, kind, name] = match ?? [];
    if (model === undefined || kind === undefined || name === undefined)
      throw new ConfigError(
        `"${path}" is no checkpoint of the embedded engine: delete it with the engine that wrote it`,
      );
    await rm(join(checkpointsDirectory, model, kind, name), { recursive: true, force: true });
  };
}

/** The completions' part of a per-position output: its last entries, in either alignment. */
function readCompletions(
  output: ForwardBackwardOutput,
  decisions: readonly Decision[],
  field: "logprobs" | "entropy",
): readonly (readonly number[])[] {
  return decisions.map(({ completionTokens }, index) => {
    const values =
      output.loss_fn_outputs[index]?.[field]?.data.slice(-completionTokens.length) ?? [];
    if (values.length !== completionTokens.length)
      throw new ModelCallError(
        `the engine gave ${values.length} values of ${field} for the ${completionTokens.length} completion tokens of ` +
          `datum ${index}: it does not speak this version of the protocol`,
        { retryable: false },
      );
    return values;
  });
}
