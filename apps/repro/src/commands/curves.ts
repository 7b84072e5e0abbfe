import { resolve } from "node:path";
import { renderText, type TableData } from "@memory-r1/report";
import { buildCommand, type Command, type CommandContext } from "@stricli/core";
import { jsonFlag, outFlag, parseText, runsDirectoryOf } from "../command-flags.ts";
import type { ShowCurvesOptions } from "../curves/show-curves.ts";
import { guardCommand } from "../guard-command.ts";
import { findRun } from "../run-folder.ts";
import type { Shell } from "../shell.ts";

export interface CurvesFlags {
  readonly svg?: string;
  readonly csv?: string;
  readonly out?: string;
  readonly json: boolean;
}

export interface CurvesRequest extends CurvesFlags {
  /** At least one. */
  readonly runs: readonly string[];
}

/** `repro curves <run-id>...`. */
export function buildCurvesCommand(
  handle: (request: CurvesRequest) => Promise<void>,
): Command<CommandContext> {
  return buildCommand({
    func: (flags: CurvesFlags, ...runs: readonly string[]) => handle({ ...flags, runs }),
    parameters: {
      positional: {
        kind: "array",
        parameter: {
          parse: parseText,
          brief: "Id of a run, or the path of a run's folder or of a published result",
          placeholder: "run-id",
        },
        minimum: 1,
      },
      flags: {
        svg: {
          kind: "parsed",
          parse: parseText,
          brief: "Draw the curves into this file",
          placeholder: "FILE",
          optional: true,
        },
        csv: {
          kind: "parsed",
          parse: parseText,
          brief: "Write every point to this file",
          placeholder: "FILE",
          optional: true,
        },
        out: outFlag,
        json: jsonFlag,
      },
    },
    docs: {
      brief: "Show how training went: rewards and validations by step, over seeds and algorithms",
      fullDescription:
        "Reads what training logged in one or several runs, finished or not, or in published results: a table of first, last and best values, and on request a drawing with a line for each seed and their mean, and every point as CSV. Runs may differ in seed, algorithm and experiment.",
    },
  });
}

export function createCurvesHandler(
  shell: Shell,
  show: (options: ShowCurvesOptions) => Promise<TableData>,
): (request: CurvesRequest) => Promise<number> {
  return (request) =>
    guardCommand(shell, false, async () => {
      const { callerDirectory } = shell.environment;
      const directories: string[] = [];
      for (const run of request.runs) {
        const found = await findRun({
          run,
          runsDirectory: runsDirectoryOf(shell, request.out),
          callerDirectory,
        });
        directories.push(found.runDirectory);
      }
      const pathOf = (file: string | undefined): string | undefined =>
        file === undefined ? undefined : resolve(callerDirectory, file);
      const svgPath = pathOf(request.svg);
      const csvPath = pathOf(request.csv);
      const table = await show({ directories, svgPath, csvPath });
      shell.writeOut(request.json ? `${JSON.stringify(table, null, 2)}\n` : renderText(table));
      if (svgPath !== undefined) shell.writeError(`svg: ${svgPath}\n`);
      if (csvPath !== undefined) shell.writeError(`csv: ${csvPath}\n`);
      return 0;
    });
}
