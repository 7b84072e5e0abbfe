import { renderText, type TableData } from "@memory-r1/report";
import { buildCommand, type Command, type CommandContext } from "@stricli/core";
import { jsonFlag } from "../command-flags.ts";
import { guardCommand } from "../guard-command.ts";
import type { ExperimentSummary, Pipeline } from "../run-context.ts";
import type { Shell } from "../shell.ts";

export interface ListRequest {
  readonly json: boolean;
}

/** `repro list`. */
export function buildListCommand(
  handle: (request: ListRequest) => Promise<void>,
): Command<CommandContext> {
  return buildCommand({
    func: (flags: ListRequest) => handle(flags),
    parameters: { flags: { json: jsonFlag } },
    docs: { brief: "List the experiments" },
  });
}

export function createListHandler(
  shell: Shell,
  pipeline: Pipeline,
): (request: ListRequest) => Promise<number> {
  return (request) =>
    guardCommand(shell, false, async () => {
      const experiments = await pipeline.listExperiments({ repositoryRoot: shell.repositoryRoot });
      shell.writeOut(
        request.json
          ? `${JSON.stringify(experiments, null, 2)}\n`
          : renderText(experimentTable(experiments)),
      );
      return 0;
    });
}

function experimentTable(experiments: readonly ExperimentSummary[]): TableData {
  return {
    title: "",
    columns: [
      { key: "name", label: "Experiment", kind: "text" },
      { key: "description", label: "What it does", kind: "text" },
      { key: "dataset", label: "Data set", kind: "text" },
    ],
    rows: experiments.map(({ name, description, dataset }) => ({ name, description, dataset })),
    notes: [],
  };
}
