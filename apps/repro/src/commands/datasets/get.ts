import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import type { DatasetFile, LoadDatasetOptions } from "@memory-r1/datasets";
import { ConfigError } from "@memory-r1/spec";
import { buildCommand, type Command, type CommandContext } from "@stricli/core";
import { downloadProgress } from "../../download-progress.ts";
import { interruptExitCodes } from "../../interrupts.ts";
import { renderError } from "../../render-error.ts";
import type { Shell } from "../../shell.ts";
import {
  datasetFlags,
  datasetPositional,
  type DatasetRequest,
  datasetsLibrary,
  findDefinition,
} from "./open-dataset.ts";

export type DatasetsGetRequest = DatasetRequest;

/** `repro datasets get <name>`. */
export function buildDatasetsGetCommand(
  handle: (request: DatasetsGetRequest) => Promise<void>,
): Command<CommandContext> {
  return buildCommand({
    func: (flags: Omit<DatasetsGetRequest, "dataset">, dataset: string) =>
      handle({ ...flags, dataset }),
    parameters: { positional: datasetPositional, flags: datasetFlags },
    docs: {
      brief: "Download a data set, or go on with a download that was cut off",
      fullDescription:
        "Downloads the files of a data set that are not here, checks them, and prints where they lie. They go into the cache folder, or into the folder of --data-dir. A download that was cut off goes on where it stopped.",
    },
  });
}

/** Exit code 0 when all files are here, 2 where one cannot be got, 130 after Ctrl-C. */
export function createDatasetsGetHandler(
  shell: Shell,
): (request: DatasetsGetRequest) => Promise<number> {
  return async (request) => {
    const progress = shell.createProgress();
    const interrupts = shell.watchInterrupts(() =>
      progress.log("interrupted; the same command goes on where this one stopped"),
    );
    try {
      const files = await getFiles(shell, request, {
        signal: interrupts.signal,
        onProgress: downloadProgress((label, total) => progress.startProgress(label, total)),
        logger: {
          info: (message) => progress.log(message),
          warn: (message) => progress.log(`warning: ${message}`),
        },
      });
      progress.close();
      shell.writeOut(
        request.json
          ? `${JSON.stringify({ dataset: request.dataset, files }, null, 2)}\n`
          : files.map(({ path }) => `${path}\n`).join(""),
      );
      return 0;
    } catch (error) {
      progress.close();
      const signal = interrupts.received();
      if (signal !== undefined) return interruptExitCodes[signal];
      const { text, exitCode } = renderError(error, { verbose: false });
      shell.writeError(text);
      return exitCode;
    } finally {
      interrupts.dispose();
    }
  };
}

type GetOptions = Pick<LoadDatasetOptions, "signal" | "onProgress" | "logger">;

/** Every file of the data set, found or brought. With --data-dir they are to be in that folder, which need not exist. */
async function getFiles(
  shell: Shell,
  { dataset, dataDir }: DatasetsGetRequest,
  options: GetOptions,
): Promise<{ readonly name: string; readonly path: string }[]> {
  const { name, definition } = await findDefinition(dataset);
  const { licence, description, homepage, files } = definition;
  if (files.length === 0) {
    throw new ConfigError(
      `There is nothing to get for the data set ${name} (${description}; licence: ${licence}). See ${homepage}.`,
    );
  }
  const library = await datasetsLibrary();
  const { cacheDirectory, dataDirectory, callerDirectory } = shell.environment;
  const target = dataDir === undefined ? undefined : resolve(callerDirectory, dataDir);
  const locate = (file: DatasetFile): Promise<string | undefined> => {
    if (target === undefined) return library.locateFile(file, { dataDirectory, cacheDirectory });
    return existsSync(target)
      ? library.locateInDataDirectory(file, target)
      : Promise.resolve(undefined);
  };
  const placed: { readonly name: string; readonly path: string }[] = [];
  for (const file of files) {
    const found = await locate(file);
    if (found !== undefined) await checkSize(found, file);
    const destination =
      target === undefined
        ? library.cachedPath(file, cacheDirectory)
        : library.pathInDataDirectory(file, target);
    const path =
      found ?? (await library.getFile({ title: name, licence, file }, destination, options));
    placed.push({ name: file.name, path });
  }
  return placed;
}

/** A look at what was there already; its checksum is for `verify`, which may take minutes. @throws ConfigError */
async function checkSize(path: string, { sizeBytes }: DatasetFile): Promise<void> {
  const { size } = await stat(path);
  if (sizeBytes === undefined || size === sizeBytes) return;
  throw new ConfigError(
    `${path} is there and has ${size} bytes, the published file has ${sizeBytes}. Move it away to get that one.`,
  );
}
