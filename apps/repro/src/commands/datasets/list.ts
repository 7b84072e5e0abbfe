import type { DatasetDefinition, DatasetFile } from "@memory-r1/datasets";
import { renderText, type TableData } from "@memory-r1/report";
import { buildCommand, type Command, type CommandContext } from "@stricli/core";
import { guardCommand } from "../../guard-command.ts";
import type { Shell } from "../../shell.ts";
import { datasetFlags, datasetsLibrary, openOptions } from "./open-dataset.ts";

export interface DatasetsListRequest {
  readonly dataDir?: string;
  readonly json: boolean;
}

/** A data set as `--json` gives it. */
interface ListedDataset {
  readonly name: string;
  readonly description: string;
  readonly licence: string;
  readonly homepage: string;
  readonly files: readonly ListedFile[];
}

interface ListedFile extends Omit<DatasetFile, "folder"> {
  /** Where it lies on this machine; absent: nowhere that was looked at. */
  readonly path?: string;
}

/** `repro datasets list`. */
export function buildDatasetsListCommand(
  handle: (request: DatasetsListRequest) => Promise<void>,
): Command<CommandContext> {
  return buildCommand({
    func: (flags: DatasetsListRequest) => handle(flags),
    parameters: { flags: datasetFlags },
    docs: { brief: "List the data sets: what they are, where they come from, what is here" },
  });
}

export function createDatasetsListHandler(
  shell: Shell,
): (request: DatasetsListRequest) => Promise<number> {
  return ({ dataDir, json }) =>
    guardCommand(shell, false, async () => {
      const { datasets, formatSize, locateFile } = await datasetsLibrary();
      const options = openOptions(shell, dataDir);
      const listFile = async (file: DatasetFile): Promise<ListedFile> => {
        const path = await locateFile(file, options);
        const { folder: _folder, ...published } = file;
        return path === undefined ? published : { ...published, path };
      };
      const listed = await Promise.all(
        Object.entries<DatasetDefinition>(datasets).map(
          async ([name, { description, licence, homepage, files }]): Promise<ListedDataset> => ({
            name,
            description,
            licence,
            homepage,
            files: await Promise.all(files.map(listFile)),
          }),
        ),
      );
      shell.writeOut(
        json
          ? `${JSON.stringify(listed, null, 2)}\n`
          : `${renderText(datasetTable(listed))}\n${renderText(fileTable(listed, formatSize))}`,
      );
      return 0;
    });
}

function datasetTable(listed: readonly ListedDataset[]): TableData {
  return {
    title: "",
    columns: [
      { key: "name", label: "Data set", kind: "text" },
      { key: "description", label: "What it is", kind: "text" },
      { key: "licence", label: "Licence", kind: "text" },
      { key: "state", label: "Here", kind: "text" },
    ],
    rows: listed.map(({ name, description, licence, files }) => ({
      name,
      description,
      licence,
      state: stateOf(files),
    })),
    notes: [],
  };
}

function stateOf(files: readonly ListedFile[]): string {
  if (files.length === 0) return "–";
  const here = files.filter(({ path }) => path !== undefined).length;
  if (here === files.length) return "yes";
  return here === 0 ? "no" : `${here} of ${files.length} files`;
}

function fileTable(
  listed: readonly ListedDataset[],
  formatSize: (bytes: number) => string,
): TableData {
  return {
    title: "Files to get (`repro datasets get <name>`)",
    columns: [
      { key: "dataset", label: "Data set", kind: "text" },
      { key: "name", label: "File", kind: "text" },
      { key: "size", label: "Size", kind: "text" },
      { key: "sha256", label: "sha256", kind: "text" },
      { key: "path", label: "Path here, or address", kind: "text" },
    ],
    rows: listed.flatMap(({ name: dataset, files }) =>
      files.map(({ name, url, sha256, sizeBytes, path }) => ({
        dataset,
        name,
        size: sizeBytes === undefined ? undefined : formatSize(sizeBytes),
        sha256: sha256 === undefined ? undefined : `${sha256.slice(0, 12)}…`,
        path: path ?? url,
      })),
    ),
    notes: ["whether a file that is here is sound, `repro datasets verify <name>` tells."],
  };
}
