import { createHash } from "node:crypto";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { baselinePromptHashes } from "@memory-r1/baselines";
import { promptHashes } from "@memory-r1/core";
import { type Manifest, renderCsv, renderMarkdown, writeResult } from "@memory-r1/report";
import { ConfigError, type Dataset, parseJson } from "@memory-r1/spec";
import { z } from "zod";
import { type Arm, type Experiment, type Override, resolveExperiment } from "../experiment.ts";
import type {
  ResumeExperimentOptions,
  RunContext,
  RunExperimentOptions,
  RunResult,
} from "../run-context.ts";
import { predictionsFile, readPredictions } from "./answer-questions.ts";
import { bankTable } from "./bank-table.ts";
import { answerAgentOf, chooseQuestions, evaluateArms } from "./evaluate-arms.ts";
import { loadExperiment } from "./list-experiments.ts";
import { loadDataset, loadRunDataset, splitFor } from "./load-dataset.ts";
import { namePolicies } from "./named-policies.ts";
import { codeVersion, machineFacts } from "./provenance.ts";
import { readRunConfig, type RunConfig, writeRunConfig } from "./run-config.ts";
import type { RunServices, TrainedAgent } from "./run-services.ts";
import { openServices, type OpenedServices } from "./open-services.ts";
import { scorePredictions, scoreSplits } from "./score-predictions.ts";
import { renderScores, scoresFile } from "./scores-file.ts";
import { reranks } from "./systems/arm-memory.ts";
import { evidenceTable } from "./systems/evidence-table.ts";
import { fairnessTable } from "./systems/fairness-table.ts";
import { latencyTable } from "./systems/latency-table.ts";
import { operationsTable } from "./systems/operations-table.ts";
import { createTokenCounter } from "./systems/token-counter.ts";
import { chooseCategoryNaming, detailTables, tabulate } from "./tabulate.ts";
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
  const dataset = await loadDataset(experiment, context);
  chooseQuestions(experiment, splitFor(experiment, dataset));
  categoryNamingOf(experiment, dataset);
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
    resumed: [],
    experiment,
  };
  await writeRunConfig(options.runDirectory, config);
  return carryOut(config, dataset, options.runDirectory, context);
}

/**
 * Goes on with a run where it stopped. Its evaluation may be another one than it was started with; what was trained stays.
 * @throws ResumeMismatchError where its data set has changed since
 * @throws ConfigError where more than the evaluation is to be changed, or an arm that has answered
 */
export async function resumeExperiment(options: ResumeExperimentOptions): Promise<RunResult> {
  const started = await readRunConfig(options.runDirectory);
  const experiment = withOtherEvaluation(started.experiment, options.overrides);
  await refuseOtherAnswers(options.runDirectory, started.experiment, experiment);
  const context: RunContext = {
    ...options.context,
    dataDirectory: options.context.dataDirectory ?? started.dataDirectory,
  };
  const dataset = await loadRunDataset(started, context);
  categoryNamingOf(experiment, dataset);
  chooseQuestions(experiment, splitFor(experiment, dataset));
  const code = await codeVersion(context.repositoryRoot);
  const config: RunConfig = {
    ...started,
    experiment,
    resumed: [
      ...started.resumed,
      {
        at: new Date().toISOString(),
        code: { commit: code?.commit ?? null, dirty: code?.dirty ?? false },
        overrides: options.overrides.map(([path, value]) => `${path}=${value}`),
      },
    ],
  };
  await writeRunConfig(options.runDirectory, config);
  return carryOut(config, dataset, options.runDirectory, context);
}

function withOtherEvaluation(experiment: Experiment, overrides: readonly Override[]): Experiment {
  if (overrides.length === 0) return experiment;
  const other = overrides.find(([path]) => !path.startsWith("evaluation."));
  if (other !== undefined) {
    throw new ConfigError(
      `--set ${other[0]}: a run that has begun can change its evaluation only (evaluation.…), since all else decides what ` +
        "was trained. Start another run with `repro run`.",
    );
  }
  const changed = resolveExperiment(experiment, overrides);
  namePolicies(changed);
  return changed;
}

/** What decides an arm's answer to a question. */
function answeringOf({ evaluation }: Experiment, arm: Arm): unknown {
  const { memory, answer, answerVariant, context, rerank } = arm;
  const reranker = reranks(arm) ? evaluation.reranker : undefined;
  return {
    memory,
    answer,
    answerVariant,
    context,
    rerank,
    reranker,
    sessions: evaluation.sessions,
  };
}

/** Answers are kept under their arm's name: under another configuration they would be taken for its own. */
async function refuseOtherAnswers(
  runDirectory: string,
  before: Experiment,
  after: Experiment,
): Promise<void> {
  for (const arm of after.evaluation.arms) {
    const known = before.evaluation.arms.find(({ name }) => name === arm.name);
    if (
      known === undefined ||
      isDeepStrictEqual(answeringOf(before, known), answeringOf(after, arm))
    )
      continue;
    const file = predictionsFile(runDirectory, arm.name);
    if ((await readPredictions(file)).length === 0) continue;
    throw new ConfigError(
      `The arm "${arm.name}" is another one now, and ${file} holds the answers of the one that it was. Give the changed arm ` +
        "a name of its own, or delete that file to have its questions answered anew.",
    );
  }
}

/** The sittings that a reader of the result must know of: other code or another evaluation than the first one's. */
function changedSittings(config: RunConfig): NonNullable<Manifest["resumed"]> {
  return config.resumed
    .filter(
      ({ code, overrides }) =>
        overrides.length > 0 ||
        code.commit !== config.code.commit ||
        code.dirty !== config.code.dirty,
    )
    .map(({ code, overrides }) => ({ code, overrides }));
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
    splits: splitFor(config.experiment, dataset),
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
  const { experiment } = config;
  const { questions, predictions } = evaluation;
  const scoreOf = scorePredictions(predictions);
  const tables = tabulate(experiment, scoreSplits(experiment, questions, scoreOf), {
    categoryNaming: categoryNamingOf(experiment, services.dataset),
    knownIssues: "include",
    mainMetric: experiment.evaluation.mainMetric,
    intervals: "all",
  });
  const banks = bankTable(evaluation);
  const fairness = fairnessTable({
    experiment,
    evaluation,
    tokens: createTokenCounter(services.engine.tokenizer),
    agentOf: (arm) => answerAgentOf(services, arm),
  });
  const evidence = evidenceTable(experiment, evaluation);
  const operations = operationsTable(experiment, evaluation);
  const details = detailTables(tables);
  const later = changedSittings(config);
  await writeResult({
    directory: services.runDirectory,
    files: {
      "leaderboard.csv": renderCsv(tables.leaderboard),
      [scoresFile]: renderScores(experiment, questions, scoreOf),
      "comparisons.csv": renderCsv(tables.comparisons),
      "banks.csv": renderCsv(banks),
      "evidence.csv": renderCsv(evidence),
      "fairness.csv": renderCsv(fairness),
      "operations.csv": renderCsv(operations),
      // Apart from all else, since no two runs take equally long.
      "latency.md": renderMarkdown(latencyTable(experiment, evaluation.timings)),
      ...(tables.refusals === undefined ? {} : { "refusals.csv": renderCsv(tables.refusals) }),
      "table.md": [
        tables.overall,
        ...details,
        tables.comparisons,
        banks,
        fairness,
        evidence,
        operations,
      ]
        .map(renderMarkdown)
        .join("\n"),
    },
    manifestName: "manifest.json",
    manifest: {
      schemaVersion: 1,
      experiment: experiment.name,
      command: config.command,
      code: config.code,
      ...(later.length === 0 ? {} : { resumed: later }),
      createdAt: new Date().toISOString(),
      configuration: parseJson(JSON.stringify(experiment), configurationSchema, "configuration"),
      dataset: { name: experiment.dataset, sha256: config.datasetSha256 },
      prompts: { ...promptHashes(), ...baselinePromptHashes() },
      models: [...models],
      seeds: { run: experiment.seed },
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
    detailTables: details,
  };
}

/** @throws ConfigError where the data set has no categories of that naming */
function categoryNamingOf({ evaluation }: Experiment, dataset: Dataset): string | undefined {
  return chooseCategoryNaming(
    dataset.questions.map((question) => question.category),
    evaluation.categoryNaming,
  );
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
