import { createHash } from "node:crypto";
import { join } from "node:path";
import { promptHashes } from "@memory-r1/core";
import { splitDataset } from "@memory-r1/datasets";
import { renderCsv, renderMarkdown, writeResult } from "@memory-r1/report";
import { type Dataset, parseJson, ResumeMismatchError } from "@memory-r1/spec";
import { z } from "zod";
import { resolveExperiment } from "../experiment.ts";
import type {
  ResumeExperimentOptions,
  RunContext,
  RunExperimentOptions,
  RunResult,
} from "../run-context.ts";
import { chooseQuestions, evaluateArms } from "./evaluate-arms.ts";
import { loadExperiment } from "./list-experiments.ts";
import { loadDataset } from "./load-dataset.ts";
import { namePolicies } from "./named-policies.ts";
import { codeVersion, machineFacts } from "./provenance.ts";
import { readRunConfig, type RunConfig, writeRunConfig } from "./run-config.ts";
import type { RunServices, TrainedAgent } from "./run-services.ts";
import { openServices, type OpenedServices } from "./open-services.ts";
import { tabulate } from "./tabulate.ts";
import { trainAnswerAgent } from "./train-answer-agent.ts";
import { trainManager } from "./train-manager.ts";

/** A configuration as plain JSON: fields without a value are left out. */
const configurationSchema = z.record(z.string(), z.json());

/** Starts a run in its own folder: configuration first, manifest last. @throws ConfigError for what the user can mend */
export async function runExperiment(options: RunExperimentOptions): Promise<RunResult> {
  const { context } = options;
  const input = await loadExperiment(context.repositoryRoot, options.experimentName);
  const experiment = resolveExperiment(input, [
    ...options.overrides,
    ...(options.seed === undefined ? [] : [["seed", String(options.seed)] as const]),
    ...(options.dtype === undefined ? [] : [["model.dtype", options.dtype] as const]),
  ]);
  // What is wrong with an experiment is said before there is a folder for it, not after hours of training.
  namePolicies(experiment);
  const dataset = await loadDataset(experiment.dataset, context);
  chooseQuestions(experiment, splitDataset(dataset, experiment.split));
  const code = await codeVersion(context.repositoryRoot);
  const config: RunConfig = {
    schemaVersion: 1,
    runId: options.runId,
    command: commandLine(options),
    startedAt: new Date().toISOString(),
    code: { commit: code?.commit ?? null, dirty: code?.dirty ?? false },
    datasetSha256: dataset.sha256,
    ...(context.dataDirectory === undefined ? {} : { dataDirectory: context.dataDirectory }),
    ...(options.threads === undefined ? {} : { threads: options.threads }),
    experiment,
  };
  await writeRunConfig(options.runDirectory, config);
  return carryOut(config, dataset, options.runDirectory, context);
}

/** Goes on with a run where it stopped. @throws ResumeMismatchError where its data set has changed since */
export async function resumeExperiment(options: ResumeExperimentOptions): Promise<RunResult> {
  const { config, dataset, context } = await openRun(options.runDirectory, options.context);
  return carryOut(config, dataset, options.runDirectory, context);
}

/**
 * What a run was started with, and its data set. `context` has the run's own data folder where none was given.
 * @throws ResumeMismatchError where the folder is no run's, or the data set has changed since
 */
export async function openRun(
  runDirectory: string,
  given: RunContext,
): Promise<{ config: RunConfig; dataset: Dataset; context: RunContext }> {
  const config = await readRunConfig(runDirectory);
  const context: RunContext = {
    ...given,
    dataDirectory: given.dataDirectory ?? config.dataDirectory,
  };
  const dataset = await loadDataset(config.experiment.dataset, context);
  if (dataset.sha256 !== config.datasetSha256) {
    throw new ResumeMismatchError(
      `The data set ${dataset.name} has sha256 ${dataset.sha256}, the run was started with ${config.datasetSha256}. ` +
        "Give the folder of that file with --data-dir.",
    );
  }
  return { config, dataset, context };
}

async function carryOut(
  config: RunConfig,
  dataset: Dataset,
  runDirectory: string,
  context: RunContext,
): Promise<RunResult> {
  const started = performance.now();
  const opened = await openServices({
    config,
    dataset,
    splits: splitDataset(dataset, config.experiment.split),
    runDirectory,
    context,
    fingerprint: fingerprintOf(config),
  });
  try {
    // Whatever is awaited below ends at once when the engine dies: a lost engine is never waited for.
    return await Promise.race([
      opened.lost.then((error) => Promise.reject(error)),
      work(config, opened, started),
    ]);
  } finally {
    await opened.close();
  }
}

async function work(
  config: RunConfig,
  { services, models, versions }: OpenedServices,
  started: number,
): Promise<RunResult> {
  const agents = await train(services);
  const evaluation = await evaluateArms(services, agents);
  const tables = tabulate(config.experiment, evaluation);
  await writeResult({
    directory: services.runDirectory,
    files: {
      "leaderboard.csv": renderCsv(tables.leaderboard),
      "comparisons.csv": renderCsv(tables.comparisons),
      "banks.csv": renderCsv(tables.banks),
      "table.md": [tables.overall, tables.comparisons, tables.banks].map(renderMarkdown).join("\n"),
    },
    manifestName: "manifest.json",
    manifest: {
      schemaVersion: 1,
      experiment: config.experiment.name,
      command: config.command,
      code: config.code,
      createdAt: new Date().toISOString(),
      configuration: parseJson(
        JSON.stringify(config.experiment),
        configurationSchema,
        "configuration",
      ),
      dataset: { name: config.experiment.dataset, sha256: config.datasetSha256 },
      prompts: { ...promptHashes() },
      models: [...models],
      seeds: { run: config.experiment.seed },
      versions: { node: process.versions.node, ...versions },
      machine: machineFacts(),
      durationSeconds: Math.round((performance.now() - started) / 1000),
    },
  });
  return {
    runId: config.runId,
    runDirectory: services.runDirectory,
    csvPath: join(services.runDirectory, "leaderboard.csv"),
    table: tables.overall,
  };
}

/** Stages in order; a later stage of the same agent goes on from the earlier one's weights. */
async function train(
  services: RunServices,
): Promise<{ manager: TrainedAgent | undefined; answer: TrainedAgent | undefined }> {
  let manager: TrainedAgent | undefined;
  let answer: TrainedAgent | undefined;
  for (const stage of services.experiment.training) {
    switch (stage.agent) {
      case "manager":
        manager = await trainManager(services, stage, { manager, answer });
        break;
      case "answer":
        answer = await trainAnswerAgent(services, stage, { manager, answer });
        break;
    }
  }
  return { manager, answer };
}

/** What a resumed stage must share with the one that was interrupted. The evaluation may change. */
function fingerprintOf(config: RunConfig): string {
  const { evaluation: _evaluation, training: _training, ...deciding } = config.experiment;
  return createHash("sha256")
    .update(JSON.stringify([deciding, config.datasetSha256, promptHashes()]))
    .digest("hex");
}

function commandLine(options: RunExperimentOptions): string {
  const parts = [`npx pnpm@10.34.8 repro run ${options.experimentName}`];
  if (options.context.dataDirectory !== undefined)
    parts.push("--data-dir <folder of the data set>");
  if (options.seed !== undefined) parts.push(`--seed ${options.seed}`);
  if (options.dtype !== undefined) parts.push(`--dtype ${options.dtype}`);
  if (options.threads !== undefined) parts.push(`--threads ${options.threads}`);
  for (const [path, value] of options.overrides) parts.push(`--set ${path}=${value}`);
  return parts.join(" ");
}
