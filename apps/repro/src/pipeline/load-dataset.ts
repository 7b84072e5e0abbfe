import { withTurnsAsFacts } from "@memory-r1/core";
import { datasets, type DatasetSplit, splitDataset, wholeAsTest } from "@memory-r1/datasets";
import { type Dataset, ResumeMismatchError } from "@memory-r1/spec";
import { downloadProgress } from "../download-progress.ts";
import type { Experiment } from "../experiment.ts";
import type { RunContext } from "../run-context.ts";
import { knownName } from "./known-name.ts";
import type { RunConfig } from "./run-config.ts";

/** What it takes to find a data set; a download can be watched and stopped where the rest is given. */
export type DatasetContext = Pick<RunContext, "cacheDirectory" | "dataDirectory" | "logger"> &
  Partial<Pick<RunContext, "signal" | "startProgress">>;

/**
 * Loads the data set that the experiment names, with something to tell in every conversation.
 * @throws ConfigError, DataFormatError or DataIntegrityError for what the user can mend
 */
export async function loadDataset(
  experiment: Pick<Experiment, "dataset">,
  context: DatasetContext,
): Promise<Dataset> {
  const { logger, signal, cacheDirectory, dataDirectory, startProgress } = context;
  const dataset = await datasets[knownName("data set", experiment.dataset, datasets)].load({
    cacheDirectory,
    logger,
    ...(signal === undefined ? {} : { signal }),
    ...(startProgress === undefined
      ? {}
      : { onProgress: downloadProgress((label, total) => startProgress(label, total)) }),
    ...(dataDirectory === undefined ? {} : { dataDirectory }),
  });
  if (dataset.notes.length > 0) {
    logger.info(
      `${dataset.name}: ${dataset.notes.length} notes on the data (\`repro datasets stats ${dataset.name}\` shows them), the first: ${dataset.notes[0]}`,
    );
  }
  // Where no facts were drawn from a conversation, its turns are what there is to tell.
  return { ...dataset, conversations: dataset.conversations.map(withTurnsAsFacts) };
}

/**
 * The data set that a run was started with; looked for where the run found it unless the context says where.
 * @throws ResumeMismatchError where its content has changed since
 */
export async function loadRunDataset(
  config: Pick<RunConfig, "experiment" | "dataDirectory" | "datasetSha256">,
  context: DatasetContext,
): Promise<Dataset> {
  const dataset = await loadDataset(config.experiment, {
    ...context,
    dataDirectory: context.dataDirectory ?? config.dataDirectory,
  });
  if (dataset.sha256 === config.datasetSha256) return dataset;
  throw new ResumeMismatchError(
    `The data set ${dataset.name} has sha256 ${dataset.sha256}, the run was started with ${config.datasetSha256}. ` +
      "Give the folder of that file with --data-dir.",
  );
}

/** The split that the experiment names. A data set that has none is tested on as a whole, where nothing is trained. */
export function splitFor(experiment: Experiment, dataset: Dataset): DatasetSplit {
  const hasNone = Object.keys(dataset.splits).length === 0 && experiment.split === undefined;
  return hasNone && experiment.training.length === 0
    ? wholeAsTest(dataset)
    : splitDataset(dataset, experiment.split);
}
