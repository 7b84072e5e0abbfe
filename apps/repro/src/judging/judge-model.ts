import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launchEngine } from "@memory-r1/engine";
import { createInferenceGenerator } from "@memory-r1/models";
import { ConfigError, type TextGenerator } from "@memory-r1/spec";
import type { RunContext } from "../run-context.ts";

/** Where the judge's model is, as the user names it. */
export interface JudgeModelOptions {
  readonly model: string;
  /** A chat server of OpenAI's shape. */
  readonly endpoint?: string;
  readonly concurrency: number;
}

/** A judge's model that is not opened before it is needed. */
export interface JudgeModel {
  /** Opens it at the first call. */
  generator(): Promise<TextGenerator>;
  close(): Promise<void>;
}

/**
 * The model behind an endpoint; without one, behind Hugging Face Inference where the name is a hub id (`owner/name`), and
 * else in the embedded engine, which is then started.
 * @throws ConfigError where Hugging Face is meant and there is no token
 */
export function createJudgeModel(options: JudgeModelOptions, context: RunContext): JudgeModel {
  const { model, endpoint, concurrency } = options;
  const shared = { model, concurrency, logger: context.logger, signal: context.signal };
  if (endpoint !== undefined) {
    return remoteModel(() =>
      createInferenceGenerator({
        ...shared,
        endpointUrl: endpoint,
        ...(context.endpointToken === undefined ? {} : { accessToken: context.endpointToken }),
      }),
    );
  }
  if (!model.includes("/") || existsSync(model)) return embeddedModel(options, context);
  const accessToken = context.huggingFaceToken;
  if (accessToken === undefined) {
    throw new ConfigError(
      `${model} is a model of Hugging Face Inference, which needs a token: set HF_TOKEN. Or name a server with --endpoint, or a model of the embedded engine such as smollm2-135m-instruct.`,
    );
  }
  return remoteModel(() => createInferenceGenerator({ ...shared, accessToken }));
}

function remoteModel(open: () => TextGenerator): JudgeModel {
  let opened: TextGenerator | undefined;
  return {
    generator: () => Promise.resolve((opened ??= open())),
    close: () => Promise.resolve(),
  };
}

function embeddedModel({ model, concurrency }: JudgeModelOptions, context: RunContext): JudgeModel {
  let opened: Promise<{ generator: TextGenerator; close: () => Promise<void> }> | undefined;
  async function open(): Promise<{ generator: TextGenerator; close: () => Promise<void> }> {
    const folder = await mkdtemp(join(tmpdir(), "memory-r1-judge-"));
    const removeFolder = (): Promise<void> => rm(folder, { recursive: true, force: true });
    try {
      const engine = await launchEngine({
        model,
        checkpointsDirectory: join(folder, "checkpoints"),
        logFile: join(folder, "engine.log"),
        cacheDirectory: context.cacheDirectory,
        python: context.pythonPath,
        logger: context.logger,
        onProgress: (event) => context.logger.info(event.message),
        signal: context.signal,
      });
      const lost = new AbortController();
      void engine.lost.then((error) => lost.abort(error));
      // Its log says why it is gone.
      const removeUnlessLost = (): Promise<void> =>
        lost.signal.aborted ? Promise.resolve() : removeFolder();
      return {
        generator: createInferenceGenerator({
          model: engine.model.name,
          endpointUrl: engine.baseUrl,
          accessToken: engine.token,
          concurrency,
          logger: context.logger,
          signal: AbortSignal.any([context.signal, lost.signal]),
        }),
        close: async () => {
          await engine.stop();
          await removeUnlessLost();
        },
      };
    } catch (error) {
      await removeFolder();
      throw error;
    }
  }
  return {
    generator: async () => (await (opened ??= open())).generator,
    close: async () => {
      // A failed start was reported to whoever asked for the generator.
      const running = await opened?.catch(() => undefined);
      await running?.close();
    },
  };
}
