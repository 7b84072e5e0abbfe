import type { DatasetFault } from "@memory-r1/datasets";
import { buildCommand, type Command, type CommandContext } from "@stricli/core";
import { escapeControls } from "../../escape-controls.ts";
import { guardCommand } from "../../guard-command.ts";
import type { Shell } from "../../shell.ts";
import {
  datasetFlags,
  datasetPositional,
  type DatasetRequest,
  findDefinition,
  openOptions,
} from "./open-dataset.ts";

export type DatasetsVerifyRequest = DatasetRequest;

/** `repro datasets verify <name>`. */
export function buildDatasetsVerifyCommand(
  handle: (request: DatasetsVerifyRequest) => Promise<void>,
): Command<CommandContext> {
  return buildCommand({
    func: (flags: Omit<DatasetsVerifyRequest, "dataset">, dataset: string) =>
      handle({ ...flags, dataset }),
    parameters: { positional: datasetPositional, flags: datasetFlags },
    docs: {
      brief: "Say everything that is wrong with a data set's files, and how to mend it",
      fullDescription:
        "Checks the files of a data set (checksum, form, ids, references, dates) and lists every fault in one pass. Exit code 0: sound; 2: there are faults.",
    },
  });
}

/** All faults on stdout. Exit code 0 where there are none, 2 where there are, or where the files cannot be found. */
export function createDatasetsVerifyHandler(
  shell: Shell,
): (request: DatasetsVerifyRequest) => Promise<number> {
  return ({ dataset, dataDir, json }) =>
    guardCommand(shell, false, async () => {
      const { name, definition } = await findDefinition(dataset);
      const faults = await definition.verify(openOptions(shell, dataDir));
      shell.writeOut(
        json
          ? `${JSON.stringify({ dataset: name, sound: faults.length === 0, faults }, null, 2)}\n`
          : renderFaults(name, faults),
      );
      return faults.length === 0 ? 0 : 2;
    });
}

/** One paragraph for each fault, in the form `file:line` that terminals and editors turn into a link. */
function renderFaults(name: string, faults: readonly DatasetFault[]): string {
  if (faults.length === 0) return `${name}: sound\n`;
  const paragraphs = faults.map(({ file, line, field, value, problem, fix }) =>
    [
      `${line === undefined ? file : `${file}:${line}`}${field === "" ? "" : ` at ${field}`}: ${problem}`,
      ...(value === "" ? [] : [`  found: ${value}`]),
      `  fix: ${fix}`,
    ]
      .map(escapeControls)
      .join("\n"),
  );
  const count = `${faults.length} ${faults.length === 1 ? "fault" : "faults"}`;
  return `${paragraphs.join("\n\n")}\n\n${name}: ${count}\n`;
}
