import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  createCheckRunner,
  createEngineClient,
  engineChecks,
  engineDialectNames,
  launchEngine,
  launchSkyRl,
  loadChatTokenizer,
  prepareEngine,
  readModelFacts,
  type EngineCheckResult,
  type EngineDialectName,
  type EngineSubject,
  type OnSetupProgress,
} from "@memory-r1/engine";
import { ConfigError, EngineLostError, type Logger } from "@memory-r1/spec";
import type { Environment } from "../environment.ts";
import { trainWords } from "./train-words.ts";

export interface CheckEngineOptions {
  /** `embedded`, `skyrl` or the URL of a server. */
  readonly engine: string;
  /** Of `skyrl`: how many JAX processes under Ray; default one without Ray. */
  readonly processes: number | undefined;
  /** Of a server; default the protocol's own. */
  readonly dialect: string | undefined;
  /** Name, id or folder of the model; for a server, the one that it was started with. */
  readonly model: string | undefined;
  /** Only checks whose group or name contains this. */
  readonly only: string | undefined;
  readonly environment: Environment;
  readonly logger: Logger;
  readonly onProgress: OnSetupProgress;
  readonly onResult: (result: NamedCheckResult) => void;
  readonly signal: AbortSignal;
}

interface NamedCheck {
  readonly group: string;
  readonly name: string;
}

export type NamedCheckResult = EngineCheckResult & NamedCheck & { readonly seconds: number };

const trainingCheck: NamedCheck = {
  group: "training",
  name: "three steps of GRPO with the loop of the experiments",
};

export interface EngineCheckReport {
  /** `memory-r1-engine-torch 0.1.0` */
  readonly engine: string;
  readonly results: readonly NamedCheckResult[];
}

/** Starts or reaches the engine, runs every check and a short training, and ends what it started. */
export async function checkEngine(options: CheckEngineOptions): Promise<EngineCheckReport> {
  const { environment, signal } = options;
  const dialect = parseChoice(options);
  const isChosen = parseOnly(options.only);
  const directory = await mkdtemp(join(tmpdir(), "memory-r1-engine-check-"));
  const setup = {
    python: environment.pythonPath,
    cacheDirectory: environment.cacheDirectory,
    logger: options.logger,
    onProgress: options.onProgress,
    signal,
  };
  let stop: (() => Promise<void>) | undefined;
  try {
    const prepared = await prepareEngine({ ...setup, model: options.model });
    const tokenizer = await loadChatTokenizer(prepared.model.directory);
    const open = async (): Promise<Omit<EngineSubject, "decode">> => {
      const logFile = join(directory, "engine.log");
      switch (options.engine) {
        case "embedded": {
          const engine = await launchEngine({
            ...setup,
            prepared,
            logFile,
            checkpointsDirectory: join(directory, "checkpoints"),
          });
          stop = () => engine.stop();
          return {
            client: engine.client,
            baseUrl: engine.baseUrl,
            token: engine.token,
            baseModel: prepared.model.name,
          };
        }
        case "skyrl": {
          const server = await launchSkyRl({
            ...setup,
            logFile,
            directory,
            modelDirectory: prepared.model.directory,
            processes: options.processes,
          });
          stop = () => server.stop();
          return {
            client: server.client,
            baseUrl: server.baseUrl,
            token: "none",
            baseModel: server.baseModel,
          };
        }
        default: {
          const token = environment.endpointToken ?? "none";
          const baseUrl = options.engine;
          const client = createEngineClient({
            baseUrl,
            token,
            dialect,
            facts: await readModelFacts(prepared.model.directory),
            signal,
          });
          const [served] = (await client.getServerCapabilities()).supported_models;
          return { client, baseUrl, token, baseModel: served?.model_name ?? prepared.model.name };
        }
      }
    };
    const opened = await open();
    const subject: EngineSubject = {
      ...opened,
      decode: (tokens) => tokenizer.decode(tokens, { skipSpecialTokens: true }),
    };
    const { engine } = await subject.client.getServerCapabilities();
    const run = createCheckRunner(subject);
    const results: NamedCheckResult[] = [];
    const note = async (
      { group, name }: NamedCheck,
      work: () => Promise<EngineCheckResult>,
    ): Promise<void> => {
      signal.throwIfAborted();
      if (!isChosen({ group, name })) return;
      const start = performance.now();
      const outcome = await work();
      const seconds = (performance.now() - start) / 1000;
      const result = { ...outcome, group, name, seconds };
      results.push(result);
      options.onResult(result);
    };
    for (const check of engineChecks) await note(check, () => run(check));
    await note(trainingCheck, async () => {
      try {
        await trainWords({ ...subject, tokenizer, signal });
        return { status: "passed" };
      } catch (error) {
        if (error instanceof EngineLostError || signal.aborted) throw error;
        return { status: "failed", reason: error instanceof Error ? error.message : String(error) };
      }
    });
    return { engine: `${engine.name} ${engine.version}`, results };
  } finally {
    await stop?.();
    await rm(directory, { recursive: true, force: true });
  }
}

/** @throws ConfigError for a word that is neither an engine nor a URL, an unknown dialect, and an option of another engine. */
function parseChoice({ engine, dialect, processes }: CheckEngineOptions): EngineDialectName {
  const isUrl = /^https?:\/\//.test(engine);
  if (!isUrl && engine !== "embedded" && engine !== "skyrl")
    throw new ConfigError(
      `"${engine}" is no engine: give embedded, skyrl, or the URL of a server (http://127.0.0.1:8000)`,
    );
  if (processes !== undefined && engine !== "skyrl")
    throw new ConfigError("--processes belongs to --engine skyrl");
  if (dialect === undefined) return "memory-r1";
  if (!isUrl) throw new ConfigError("--dialect belongs to the URL of a server");
  const known = engineDialectNames.find((name) => name === dialect);
  if (known === undefined)
    throw new ConfigError(
      `"${dialect}" is no dialect: give one of ${engineDialectNames.join(", ")}`,
    );
  return known;
}

/** @throws ConfigError where no check is meant. */
function parseOnly(only: string | undefined): (check: NamedCheck) => boolean {
  const isChosen = ({ group, name }: NamedCheck): boolean =>
    only === undefined || `${group} ${name}`.includes(only);
  const all = [...engineChecks, trainingCheck];
  if (all.some(isChosen)) return isChosen;
  const groups = [...new Set(all.map(({ group }) => group))];
  throw new ConfigError(
    `no check has "${only}" in its group or name; the groups are ${groups.join(", ")}`,
  );
}
