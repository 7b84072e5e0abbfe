import { basename, join } from "node:path";
import { metrics } from "@memory-r1/metrics";
import { readManifest, renderCsv, writeFileAtomic } from "@memory-r1/report";
import { ConfigError, parseValue } from "@memory-r1/spec";
import { evaluatedSplits, type Experiment, experimentSchema } from "../experiment.ts";
import type { RunView, RunViewRequest, TabulateRunsOptions } from "../run-context.ts";
import { isPublishedResult } from "../run-folder.ts";
import { type Prediction, predictionsFile, readPredictions } from "./answer-questions.ts";
import { askedOf, chooseQuestions, type EvaluatedQuestions } from "./evaluate-arms.ts";
import { knownName } from "./known-name.ts";
import { loadRunDataset, splitFor } from "./load-dataset.ts";
import { readRunConfig, type RunConfig } from "./run-config.ts";
import {
  type ScoredSplit,
  type ScoreOf,
  scorePredictions,
  scoreSplits,
} from "./score-predictions.ts";
import { readScores } from "./scores-file.ts";
import { chooseCategoryNaming, detailTables, tabulate } from "./tabulate.ts";

/** A finished run, or a result that was published of one. */
interface FinishedRun {
  readonly runDirectory: string;
  readonly config: Pick<
    RunConfig,
    "runId" | "code" | "datasetSha256" | "dataDirectory" | "experiment"
  >;
  /** How its arms did at the questions that they were asked. */
  readonly scores: (questions: EvaluatedQuestions) => Promise<ScoreOf>;
}

/**
 * Scores the answers of finished runs again and lays them out as asked; of a published result, whose answers are not
 * there, the scores are taken as they are. Nothing in their folders changes.
 * @throws ConfigError where a run has not ended, runs differ in more than their seed, or a name is unknown
 * @throws ResumeMismatchError where the data set is not the runs'
 */
export async function tabulateRuns(options: TabulateRunsOptions): Promise<RunView> {
  const { view, context, csvPath } = options;
  const runs = await Promise.all(options.runDirectories.map(openRun));
  const [first] = runs;
  if (first === undefined) throw new ConfigError("Name at least one run.");
  checkSameExperiment(runs);
  const commits = new Set(runs.map(({ config }) => config.code.commit));
  if (commits.size > 1) context.logger.warn("the runs were made by different commits");

  const dataset = await loadRunDataset(first.config, context);
  const experiment = withMetric(first.config.experiment, view);
  const categoryNaming = chooseCategoryNaming(
    dataset.questions.map((question) => question.category),
    view.categoryNaming ?? experiment.evaluation.categoryNaming,
  );
  const splits = splitFor(first.config.experiment, dataset);
  const scored = await Promise.all(
    runs.map(async (run) => {
      const { seed } = run.config.experiment;
      const questions = chooseQuestions(run.config.experiment, splits);
      return scoreSplits({ ...experiment, seed }, questions, await run.scores(questions));
    }),
  );
  const tables = tabulate(experiment, mergeSplits(scored.flat()), {
    categoryNaming,
    knownIssues: view.knownIssues ?? "include",
    mainMetric: experiment.evaluation.mainMetric,
    intervals: csvPath === undefined ? "main" : "all",
  });
  if (csvPath !== undefined) await writeFileAtomic(csvPath, renderCsv(tables.leaderboard));
  return {
    runs: runs.map(({ runDirectory, config }) => ({ runId: config.runId, runDirectory })),
    table: tables.overall,
    detailTables: detailTables(tables),
  };
}

async function openRun(runDirectory: string): Promise<FinishedRun> {
  if (isPublishedResult(runDirectory)) return openPublished(runDirectory);
  const config = await readRunConfig(runDirectory);
  return {
    runDirectory,
    config,
    scores: async (questions) =>
      scorePredictions(await readAnswers(runDirectory, config, questions)),
  };
}

async function openPublished(runDirectory: string): Promise<FinishedRun> {
  const file = join(runDirectory, "manifest.json");
  const { code, dataset, configuration } = await readManifest(file);
  return {
    runDirectory,
    config: {
      runId: basename(runDirectory),
      code,
      datasetSha256: dataset.sha256,
      experiment: parseValue(configuration, experimentSchema, `configuration in ${file}`),
    },
    scores: () => readScores(runDirectory),
  };
}

/** The experiment with the metric of the view as its main one. @throws ConfigError for a metric that there is not */
function withMetric(experiment: Experiment, { metric }: RunViewRequest): Experiment {
  if (metric === undefined) return experiment;
  const mainMetric = knownName("metric", metric, metrics);
  const { evaluation } = experiment;
  return {
    ...experiment,
    evaluation: {
      ...evaluation,
      mainMetric,
      metrics: [...new Set([...evaluation.metrics, mainMetric])],
    },
  };
}

function checkSameExperiment(runs: readonly FinishedRun[]): void {
  const [first, ...others] = runs;
  if (first === undefined) return;
  const decides = ({ config }: FinishedRun): string =>
    JSON.stringify([config.datasetSha256, { ...config.experiment, seed: 0 }]);
  const seeds = new Map([[first.config.experiment.seed, first.config.runId]]);
  for (const other of others) {
    const { runId, experiment } = other.config;
    if (decides(other) !== decides(first)) {
      throw new ConfigError(
        `Runs ${first.config.runId} and ${runId} differ in more than their seed (compare their config.json). ` +
          "Only runs of one experiment on one data set are averaged over seeds.",
      );
    }
    const twin = seeds.get(experiment.seed);
    if (twin !== undefined) {
      throw new ConfigError(
        `Runs ${twin} and ${runId} have the same seed, ${experiment.seed}: they are one sample, not two. Leave one out.`,
      );
    }
    seeds.set(experiment.seed, runId);
  }
}

/** Every arm's answers. @throws ConfigError where some question has none */
async function readAnswers(
  runDirectory: string,
  config: RunConfig,
  questions: EvaluatedQuestions,
): Promise<ReadonlyMap<string, readonly Prediction[]>> {
  const ofArms = config.experiment.evaluation.arms.map(async (arm) => {
    const { name } = arm;
    const asked = askedOf(arm, questions);
    const predictions = await readPredictions(predictionsFile(runDirectory, name));
    const answered = new Set(predictions.map(({ questionId }) => questionId));
    const missing = asked.filter(({ id }) => !answered.has(id)).length;
    if (missing > 0) {
      throw new ConfigError(
        `Run ${config.runId} lacks the answers of arm "${name}" to ${missing} of ${asked.length} questions: ` +
          `it has not ended. Finish it by \`repro resume ${config.runId}\`.`,
      );
    }
    return [name, predictions] as const;
  });
  return new Map(await Promise.all(ofArms));
}

/** The answers of all runs to the questions of one split. */
function mergeSplits(scored: readonly ScoredSplit[]): readonly ScoredSplit[] {
  return evaluatedSplits.flatMap((split): ScoredSplit[] => {
    const ofSplit = scored.filter((one) => one.split === split);
    if (ofSplit.length === 0) return [];
    return [
      {
        split,
        records: ofSplit.flatMap(({ records }) => records),
        toRefuse: ofSplit.flatMap(({ toRefuse }) => toRefuse),
        toAnswer: ofSplit.flatMap(({ toAnswer }) => toAnswer),
      },
    ];
  });
}
