import { datasets, isDatasetName } from "@memory-r1/datasets";
import { ConfigError, type Dataset } from "@memory-r1/spec";
import type { RunContext } from "../run-context.ts";

/** Loads a data set by name, from where the context says. @throws ConfigError for a name that no data set has */
export function loadDataset(name: string, context: RunContext): Promise<Dataset> {
  if (!isDatasetName(name)) {
    throw new ConfigError(
      `There is no data set "${name}". Data sets: ${Object.keys(datasets).join(", ")}.`,
    );
  }
  return datasets[name].load({
    cacheDirectory: context.cacheDirectory,
    logger: context.logger,
    ...(context.dataDirectory === undefined ? {} : { dataDirectory: context.dataDirectory }),
  });
}
