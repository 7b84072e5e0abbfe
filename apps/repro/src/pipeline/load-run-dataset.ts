import { datasets, isDatasetName } from "@memory-r1/datasets";
import { ConfigError, type Dataset, ResumeMismatchError } from "@memory-r1/spec";
import type { Experiment } from "../experiment.ts";
import type { RunContext } from "../run-context.ts";
import type { RunConfig } from "./run-config.ts";

/** What it takes to find a data set. */
export type DatasetContext = Pick<RunContext, "cacheDirectory" | "dataDirectory" | "logger">;

/** @throws ConfigError where there is no such data set, or it is not found */
export function loadDataset(
  { dataset }: Pick<Experiment, "dataset">,
  context: DatasetContext,
): Promise<Dataset> {
  if (!isDatasetName(dataset)) {
    throw new ConfigError(
      `There is no data set "${dataset}". Data sets: ${Object.keys(datasets).join(", ")}.`,
    );
  }
  return datasets[dataset].load({
    cacheDirectory: context.cacheDirectory,
    logger: context.logger,
    ...(context.dataDirectory === undefined ? {} : { dataDirectory: context.dataDirectory }),
  });
}

/**
 * The data set that a run was started with; looked for where the run found it unless the context says where.
 * @throws ResumeMismatchError where its content has changed since
 */
export async function loadRunDataset(config: RunConfig, context: DatasetContext): Promise<Dataset> {
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
