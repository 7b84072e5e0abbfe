import { withTurnsAsFacts } from "@memory-r1/core";
import { datasets, type DatasetSplit, splitDataset, wholeAsTest } from "@memory-r1/datasets";
import type { Dataset } from "@memory-r1/spec";
import { downloadProgress } from "../download-progress.ts";
import type { Experiment } from "../experiment.ts";
import type { RunContext } from "../run-context.ts";
import { knownName } from "./known-name.ts";

/**
 * Loads the data set that the experiment names, with something to tell in every conversation.
 * @throws ConfigError, DataFormatError or DataIntegrityError for what the user can mend
 */
export async function loadDataset(experiment: Experiment, context: RunContext): Promise<Dataset> {
  const { logger, signal, cacheDirectory, dataDirectory } = context;
  const dataset = await datasets[knownName("data set", experiment.dataset, datasets)].load({
    cacheDirectory,
    logger,
    signal,
    onProgress: downloadProgress((label, total) => context.startProgress(label, total)),
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

/** The split that the experiment names. A data set that has none is tested on as a whole, where nothing is trained. */
export function splitFor(experiment: Experiment, dataset: Dataset): DatasetSplit {
  const hasNone = Object.keys(dataset.splits).length === 0 && experiment.split === undefined;
  return hasNone && experiment.training.length === 0
    ? wholeAsTest(dataset)
    : splitDataset(dataset, experiment.split);
}
