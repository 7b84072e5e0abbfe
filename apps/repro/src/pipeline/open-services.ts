import { join } from "node:path";
import {
  createAnswerAgent,
  createDateReader,
  createMemoryManager,
  createRetriever,
} from "@memory-r1/core";
import type { DatasetSplit } from "@memory-r1/datasets";
import { createEngineGenerator, launchEngine, loadChatTokenizer } from "@memory-r1/engine";
import { createInferenceEmbedding, createInferenceReranker } from "@memory-r1/models";
import type { Manifest } from "@memory-r1/report";
import type { Dataset, EngineLostError, TextGenerator } from "@memory-r1/spec";
import type { Experiment } from "../experiment.ts";
import type { RunContext } from "../run-context.ts";
import { namePolicies } from "./named-policies.ts";
import { createRewardGraders, judgeModels } from "./reward-graders.ts";
import type { RunConfig } from "./run-config.ts";
import type { RunServices, TrainedAgent } from "./run-services.ts";

/** The services of a run, what made them for the manifest, and how to end them. */
export interface OpenedServices {
  readonly services: RunServices;
  readonly models: Manifest["models"];
  readonly versions: Readonly<Record<string, string>>;
  /** Resolves when the engine has died by itself. */
  readonly lost: Promise<EngineLostError>;
  close(): Promise<void>;
}

/** Starts the engine and builds policies, retriever and generators from the configuration. */
export async function openServices(options: {
  readonly config: RunConfig;
  readonly dataset: Dataset;
  readonly splits: DatasetSplit;
  readonly runDirectory: string;
  readonly context: RunContext;
  readonly fingerprint: string;
}): Promise<OpenedServices> {
  const { context, runDirectory } = options;
  const { experiment, threads } = options.config;
  const policies = namePolicies(experiment);
  const checkpointsDirectory = join(runDirectory, "checkpoints");
  const rerankerName = neededReranker(experiment);
  const launched = await launchEngine({
    model: experiment.model.name,
    embedding: experiment.embedding,
    reranker: rerankerName,
    dtype: experiment.model.dtype,
    threads,
    microBatchTokens: experiment.model.microBatchTokens,
    trainingMemoryGib: experiment.model.trainingMemoryGib,
    gradientCheckpointing: experiment.model.gradientCheckpointing,
    checkpointsDirectory,
    logFile: join(runDirectory, "engine.log"),
    cacheDirectory: context.cacheDirectory,
    python: context.pythonPath,
    logger: context.logger,
    onProgress: (event) => context.logger.info(event.message),
    signal: context.signal,
  });
  try {
    const { client, model } = launched;
    // Embeddings and scores do not go through the engine's client: without this they would be tried again for seconds.
    const engineLost = new AbortController();
    void launched.lost.then((error) => engineLost.abort(error));
    const tokenizer = await loadChatTokenizer(model.directory);
    const sessionId = await client.createSession();
    const server = {
      accessToken: launched.token,
      signal: AbortSignal.any([context.signal, engineLost.signal]),
      logger: context.logger,
    };
    const embeddingModel = createInferenceEmbedding({
      ...server,
      model: experiment.embedding,
      endpointUrl: `${launched.baseUrl}/embed`,
    });
    const reranker =
      rerankerName === undefined
        ? undefined
        : createInferenceReranker({
            ...server,
            model: rerankerName,
            endpointUrl: `${launched.baseUrl}/rerank`,
          });
    const sessions = options.dataset.conversations.flatMap((conversation) => conversation.sessions);
    const retriever = createRetriever(policies.retriever, {
      embeddingModel,
      readDateTime: createDateReader(sessions),
    });
    const generatorOf = async (
      source: { readonly baseModel: string } | { readonly modelPath: string },
      description: string,
    ): Promise<TextGenerator> =>
      createEngineGenerator({
        client,
        samplingSessionId: await client.createSamplingSession(sessionId, source),
        tokenizer,
        description,
      });
    const opened = new Map<string, Promise<TextGenerator>>();
    const managerOptions = {
      format: policies.format,
      shownCount: experiment.manager.shown,
      retriever,
    };
    const base = await generatorOf({ baseModel: model.name }, model.name);
    const answerAgent = createAnswerAgent({ variant: policies.variant });
    const graders = createRewardGraders(base, context);
    const services: RunServices = {
      experiment,
      context,
      runDirectory,
      dataset: options.dataset,
      splits: options.splits,
      engine: { client, sessionId, baseModel: model.name, tokenizer, checkpointsDirectory },
      retriever,
      embedding: embeddingModel,
      reranker,
      answerAgent: {
        ...answerAgent,
        maxTokens: experiment.answer.maxTokens ?? answerAgent.maxTokens,
      },
      manager: createMemoryManager({
        ...managerOptions,
        constrained: experiment.manager.constrained,
      }),
      unconstrainedManager: createMemoryManager({ ...managerOptions, constrained: false }),
      base,
      trained: (agent: TrainedAgent) => {
        const { samplerPath, isBase } = agent;
        if (isBase) return Promise.resolve(base);
        const known =
          opened.get(samplerPath) ??
          generatorOf({ modelPath: samplerPath }, `${model.name} + ${samplerPath}`);
        opened.set(samplerPath, known);
        return known;
      },
      grader: (reward) => graders.of(reward),
      fingerprint: options.fingerprint,
    };
    const capabilities = await client.getServerCapabilities();
    return {
      services,
      models: [
        { role: "policy and reader", ...manifestModel(model) },
        { role: "embedding", ...manifestModel(launched.embedding) },
        ...(launched.reranker === undefined
          ? []
          : [{ role: "reranker", ...manifestModel(launched.reranker) }]),
        ...judgeModels(experiment),
      ],
      versions: { engine: capabilities.engine.version },
      lost: launched.lost,
      close: async () => {
        await Promise.all([graders.close(), launched.stop()]);
      },
    };
  } catch (error) {
    await launched.stop();
    throw error;
  }
}

/** The reranker's name where an arm asks for it; absent where none does, so that nothing is fetched for nothing. */
function neededReranker({ evaluation }: Experiment): string | undefined {
  return evaluation.arms.some(({ rerank }) => rerank !== undefined)
    ? evaluation.reranker?.name
    : undefined;
}

function manifestModel(model: { name: string; revision: string; source: string }): {
  name: string;
  revision: string;
  source: string;
} {
  return { name: model.name, revision: model.revision, source: model.source };
}
