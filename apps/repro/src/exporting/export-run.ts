import { existsSync } from "node:fs";
import { copyFile, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { type Manifest, readManifest, sha256OfFile } from "@memory-r1/report";
import { ConfigError, DataFormatError, DataIntegrityError, parseJson } from "@memory-r1/spec";
import { parseCheckpointPath } from "@memory-r1/trainers";
import { z } from "zod";
import { readRunConfig } from "../pipeline/run-config.ts";
import { readRunResult } from "../run-result.ts";
import { hubIdOf } from "./base-model-id.ts";
import { policyModel, renderModelCard } from "./model-card.ts";

export interface ExportOptions {
  /** Absolute; a run that has ended. */
  readonly runDirectory: string;
  /** Absolute; made where it is missing. Each stage becomes a folder in it, which must not exist. */
  readonly outDirectory: string;
  /** Absent: all stages of training. */
  readonly stage: string | undefined;
  /** Id of the base model on the hub, where its name in the run is none. */
  readonly baseModelId: string | undefined;
}

export interface ExportedAdapter {
  readonly stage: string;
  /** Absolute. */
  readonly directory: string;
  readonly baseModelId: string;
}

/** What `training/<stage>/trained.json` says of the checkpoint that validation chose. */
const trainedSchema = z.looseObject({
  samplerPath: z.string(),
  bestStep: z.number(),
  bestScore: z.number(),
});

const adapterConfigSchema = z.looseObject({ base_model_name_or_path: z.string() });

const weightsFile = "adapter_model.safetensors";
const adapterConfigFile = "adapter_config.json";

/**
 * Copies the trained adapters of a run into folders of PEFT's form that stand alone: weights, configuration with the
 * base model's id on the hub, the run's manifest and a model card made of it.
 * @throws ConfigError for what the user can mend, DataIntegrityError where the weights are not those that were saved
 */
export async function exportRun(options: ExportOptions): Promise<readonly ExportedAdapter[]> {
  const { runDirectory, outDirectory } = options;
  const { experiment } = await readRunConfig(runDirectory);
  const stages = experiment.training.filter(
    ({ name }) => options.stage === undefined || name === options.stage,
  );
  if (stages.length === 0) {
    const names = experiment.training.map(({ name }) => name);
    throw new ConfigError(
      names.length === 0
        ? `run ${basename(runDirectory)} trained nothing: it has no adapters to export`
        : `--stage ${options.stage ?? ""}: run ${basename(runDirectory)} has the stages ${names.join(", ")}`,
    );
  }
  const manifest = await readManifest(join(runDirectory, "manifest.json"));
  const { table: results } = await readRunResult(runDirectory);
  const baseModelId = options.baseModelId ?? hubIdOf(policyModel(manifest));
  const targets = stages.map((stage) => ({ stage, directory: join(outDirectory, stage.name) }));
  const taken = targets.find(({ directory }) => existsSync(directory));
  if (taken !== undefined)
    throw new ConfigError(`${taken.directory} exists already: delete it, or choose another --out`);

  for (const { stage, directory } of targets) {
    const trainedFile = join(runDirectory, "training", stage.name, "trained.json");
    const trained = parseJson(await readFile(trainedFile, "utf8"), trainedSchema, trainedFile);
    const source = checkpointFolder(join(runDirectory, "checkpoints"), trained.samplerPath);
    await verifyChecksums(source);
    const temporary = join(outDirectory, `.${stage.name}.partial`);
    await rm(temporary, { recursive: true, force: true });
    await mkdir(temporary, { recursive: true });
    await copyFile(join(source, weightsFile), join(temporary, weightsFile));
    await writeFile(
      join(temporary, adapterConfigFile),
      await portableConfig(join(source, adapterConfigFile), baseModelId, manifest),
    );
    await copyFile(join(runDirectory, "manifest.json"), join(temporary, "manifest.json"));
    const weightsSha256 = await sha256OfFile(join(temporary, weightsFile));
    await writeFile(
      join(temporary, "README.md"),
      renderModelCard({ baseModelId, stage, trained, manifest, results, weightsSha256 }),
    );
    await rename(temporary, directory);
  }
  return targets.map(({ stage, directory }) => ({ stage: stage.name, directory, baseModelId }));
}

/** The folder that `memory-r1://<model>/sampler_weights/<name>` stands for. */
function checkpointFolder(checkpointsDirectory: string, path: string): string {
  const parts = parseCheckpointPath(path);
  if (parts?.kind !== "sampler_weights")
    throw new ConfigError(
      `"${path}" is no checkpoint of the embedded engine: export the adapter with the engine that wrote it`,
    );
  const folder = join(checkpointsDirectory, parts.model, parts.kind, parts.name);
  if (!existsSync(folder))
    throw new ConfigError(
      `${folder} does not exist: the run's checkpoints were deleted or left behind when it was moved`,
    );
  return folder;
}

/** The engine writes the checksums of a checkpoint's files beside them; earlier versions did not. */
async function verifyChecksums(folder: string): Promise<void> {
  const sumsFile = join(folder, "SHA256SUMS");
  if (!existsSync(sumsFile)) return;
  const lines = (await readFile(sumsFile, "utf8")).trimEnd().split("\n");
  for (const line of lines) {
    const [expected, name] = line.split("  ");
    if (expected === undefined || name === undefined || basename(name) !== name)
      throw new DataFormatError({
        source: sumsFile,
        path: "",
        problem: `the line ${JSON.stringify(line)} is not "<sha256>  <file>"`,
        fix: "resume the run from an earlier checkpoint, or use a copy of this one",
      });
    const file = join(folder, name);
    const found = await sha256OfFile(file);
    if (found !== expected)
      throw new DataIntegrityError({
        file,
        expected,
        found,
        fix: "It was changed after it was saved: use a copy of the run.",
      });
  }
}

/** PEFT's configuration with the base model named for other machines, its commit too where the hub gave the weights. */
async function portableConfig(
  file: string,
  baseModelId: string,
  manifest: Manifest,
): Promise<string> {
  const config = parseJson(await readFile(file, "utf8"), adapterConfigSchema, file);
  const commit = /^hf:([0-9a-f]{40})$/.exec(policyModel(manifest).revision)?.[1];
  const portable = {
    ...config,
    base_model_name_or_path: baseModelId,
    ...(commit === undefined ? {} : { revision: commit }),
  };
  return `${JSON.stringify(portable, null, 2)}\n`;
}
