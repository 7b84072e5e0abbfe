import { rm } from "node:fs/promises";
import { join } from "node:path";
import { createEngineGenerator, type ChatTokenizer, type EngineClient } from "@memory-r1/engine";
import {
  ConfigError,
  type ChatMessage,
  type ForwardBackwardOutput,
  type LoraConfig,
} from "@memory-r1/spec";
import { buildDatum, layOutDatum, type Decision, type TrainingSequence } from "./datums.ts";
import { checkEngine, readCompletions, readGradientNorm } from "./engine-wire.ts";
import type { BackwardResult, PolicyEngine } from "./policy-engine.ts";
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
  const alignment = await checkEngine(client, ["importance_sampling", "ppo"]);
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
      return toBackwardResult(output, sequences);
    },
    async imitate(sequences) {
      const output = await client.forwardBackward(modelId, {
        data: sequences.map((sequence) =>
          layOutDatum(sequence, { weights: sequence.weights }, alignment),
        ),
        loss_fn: "cross_entropy",
      });
      return toBackwardResult(output, sequences);
    },
    encodeCompletion: (messages, completion) => encodeCompletion(tokenizer, messages, completion),
    optimStep: async (adam) => readGradientNorm(await client.optimStep(modelId, adam)),
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

/** @throws ConfigError if the template does not write the turn after the prompt, or does not end it */
function encodeCompletion(
  tokenizer: ChatTokenizer,
  messages: readonly ChatMessage[],
  completion: string,
): Pick<Decision, "promptTokens" | "completionTokens"> {
  const promptTokens = tokenizer.encodeChat(messages);
  const whole = tokenizer.encodeChat([...messages, { role: "assistant", content: completion }], {
    addGenerationPrompt: false,
  });
  const written = whole.slice(promptTokens.length);
  const end = written.findIndex((token) => tokenizer.eosTokenIds.includes(token));
  if (end < 1 || promptTokens.some((token, position) => whole[position] !== token))
    throw new ConfigError(
      "this model's chat template does not write an assistant's turn right after its prompt and end it: " +
        "traces cannot be learnt from with it, use another model",
    );
  // What a template writes behind the end of a turn is never sampled.
  return { promptTokens, completionTokens: written.slice(0, end + 1) };
}

function toBackwardResult(
  output: ForwardBackwardOutput,
  sequences: readonly Pick<Decision, "completionTokens">[],
): BackwardResult {
  const hasEntropy = output.loss_fn_outputs.every((datum) => datum.entropy !== undefined);
  const tokensComputed = output.metrics["tokens_computed:sum"];
  const tokensUnpacked = output.metrics["tokens_unpacked:sum"];
  return {
    logProbs: readCompletions(output, sequences, "logprobs"),
    ...(hasEntropy ? { entropies: readCompletions(output, sequences, "entropy") } : {}),
    ...(tokensComputed === undefined ? {} : { tokensComputed }),
    ...(tokensUnpacked === undefined ? {} : { tokensUnpacked }),
  };
}

/** The parts of `memory-r1://<model>/<kind>/<name>`, a checkpoint of the embedded engine; undefined for any other path. */
export function parseCheckpointPath(path: string):
  | {
      readonly model: string;
      readonly kind: string;
      readonly name: string;
    }
  | undefined {
  const match = /^memory-r1:\/\/([\w-]+)\/(weights|sampler_weights)\/([\w-]+)$/.exec(path);
  const [, model, kind, name] = match ?? [];
  return model === undefined || kind === undefined || name === undefined
    ? undefined
    : { model, kind, name };
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
    const parts = parseCheckpointPath(path);
    if (parts === undefined)
      throw new ConfigError(
        `"${path}" is no checkpoint of the embedded engine: delete it with the engine that wrote it`,
      );
    await rm(join(checkpointsDirectory, parts.model, parts.kind, parts.name), {
      recursive: true,
      force: true,
    });
  };
}
