import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ConfigError, parseValue } from "@memory-r1/spec";
import { z } from "zod";
import { type ExperimentInput, experimentSchema } from "../experiment.ts";
import type { ExperimentSummary } from "../run-context.ts";

/** What a file of benchmarks/ exports; its content is checked when the experiment is resolved. */
const experimentModule = z.looseObject({
  experiment: z.custom<ExperimentInput>((value) => typeof value === "object"),
});

/** Compiled experiment files: one file of benchmarks/ is one experiment, named like the file. */
async function experimentFiles(repositoryRoot: string): Promise<Map<string, string>> {
  const folder = join(repositoryRoot, "benchmarks", "dist");
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (cause) {
    throw new ConfigError(
      `${folder}: cannot be read. Build the project first: \`pnpm build\`.`,
      cause,
    );
  }
  const files = names.filter((name) => name.endsWith(".js") && !name.includes(".test."));
  return new Map(files.sort().map((name) => [name.slice(0, -".js".length), join(folder, name)]));
}

async function importExperiment(file: string): Promise<ExperimentInput> {
  const module: unknown = await import(pathToFileURL(file).href);
  return parseValue(module, experimentModule, file).experiment;
}

/** @throws ConfigError where there is no such experiment; the message lists those that there are. */
export async function loadExperiment(
  repositoryRoot: string,
  name: string,
): Promise<ExperimentInput> {
  const files = await experimentFiles(repositoryRoot);
  const file = files.get(name);
  if (file === undefined) {
    throw new ConfigError(
      `There is no experiment "${name}". Experiments of benchmarks/: ${[...files.keys()].join(", ")}.`,
    );
  }
  return importExperiment(file);
}

/** Every experiment with its one-line description, and the data set that it takes unless another is named. */
export async function listExperiments(options: {
  readonly repositoryRoot: string;
}): Promise<readonly ExperimentSummary[]> {
  const files = await experimentFiles(options.repositoryRoot);
  return Promise.all(
    [...files.values()].map(async (file) => {
      const experiment = parseValue(await importExperiment(file), experimentSchema, file);
      const { name, description, dataset } = experiment;
      return { name, description, dataset };
    }),
  );
}
