import { resolve } from "node:path";
import { knownIssuesModes, type KnownIssuesMode } from "@memory-r1/report";
import { buildCommand, type Command, type CommandContext } from "@stricli/core";
import { dataDirFlag, jsonFlag, outFlag, parseText, runsDirectoryOf } from "../command-flags.ts";
import { guardCommand } from "../guard-command.ts";
import type { Pipeline } from "../run-context.ts";
import { findRun, isPublishedResult } from "../run-folder.ts";
import { readRunResult } from "../run-result.ts";
import type { Shell } from "../shell.ts";
import { showResult, showTables } from "../supervise-run.ts";

export interface ReportFlags {
  readonly categoryNames?: string;
  readonly knownIssues?: KnownIssuesMode | "both";
  readonly metric?: string;
  readonly csv?: string;
  readonly dataDir?: string;
  readonly out?: string;
  readonly json: boolean;
}

export interface ReportRequest extends ReportFlags {
  /** At least one. */
  readonly runs: readonly string[];
}

/** `repro report <run-id>...`. */
export function buildReportCommand(
  handle: (request: ReportRequest) => Promise<void>,
): Command<CommandContext> {
  return buildCommand({
    func: (flags: ReportFlags, ...runs: readonly string[]) => handle({ ...flags, runs }),
    parameters: {
      positional: {
        kind: "array",
        parameter: {
          parse: parseText,
          brief:
            "Id of a run, or the path of a run's folder or of a published result; several are seeds of one experiment",
          placeholder: "run-id",
        },
        minimum: 1,
      },
      flags: {
        categoryNames: {
          kind: "parsed",
          parse: parseText,
          brief: "Name the categories as in this scheme (LoCoMo: official, mem0, memorybench)",
          placeholder: "SCHEME",
          optional: true,
        },
        knownIssues: {
          kind: "enum",
          values: [...knownIssuesModes, "both"],
          brief: "Count questions whose gold answer is known to be wrong, or leave them out",
          optional: true,
        },
        metric: {
          kind: "parsed",
          parse: parseText,
          brief: "The metric of intervals and categories (`repro score --metric list` shows all)",
          placeholder: "NAME",
          optional: true,
        },
        csv: {
          kind: "parsed",
          parse: parseText,
          brief: "Also write every scope and metric to this CSV file",
          placeholder: "FILE",
          optional: true,
        },
        dataDir: dataDirFlag,
        out: outFlag,
        json: jsonFlag,
      },
    },
    docs: {
      brief: "Print the tables of a finished run again, or of several seeds together",
      fullDescription:
        "Prints the tables of a finished run as they are. With several runs, or with --category-names, --known-issues, --metric or --csv, the runs' answers are scored again, which needs their data set; of a published result, which has no answers, the tables are made from its scores.jsonl.",
    },
  });
}

export function createReportHandler(
  shell: Shell,
  pipeline: Pipeline,
): (request: ReportRequest) => Promise<number> {
  return (request) =>
    guardCommand(shell, false, async () => {
      const { environment } = shell;
      const locations = [];
      for (const run of request.runs) {
        locations.push(
          await findRun({
            run,
            runsDirectory: runsDirectoryOf(shell, request.out),
            callerDirectory: environment.callerDirectory,
          }),
        );
      }
      const { categoryNames, knownIssues, metric, csv, dataDir } = request;
      const view = {
        ...(categoryNames === undefined ? {} : { categoryNaming: categoryNames }),
        ...(knownIssues === undefined ? {} : { knownIssues }),
        ...(metric === undefined ? {} : { metric }),
      };
      const [only] = locations;
      const isAsItWas =
        locations.length === 1 && Object.keys(view).length === 0 && csv === undefined;
      if (isAsItWas && only !== undefined && !isPublishedResult(only.runDirectory)) {
        showResult(shell, await readRunResult(only.runDirectory), request.json);
        return 0;
      }
      const csvPath = csv === undefined ? undefined : resolve(environment.callerDirectory, csv);
      const shown = await pipeline.tabulateRuns({
        runDirectories: locations.map(({ runDirectory }) => runDirectory),
        view,
        ...(csvPath === undefined ? {} : { csvPath }),
        context: {
          logger: {
            info: (message) => shell.writeError(`${message}\n`),
            warn: (message) => shell.writeError(`warning: ${message}\n`),
          },
          cacheDirectory: environment.cacheDirectory,
          dataDirectory:
            dataDir === undefined
              ? environment.dataDirectory
              : resolve(environment.callerDirectory, dataDir),
        },
      });
      showTables(shell, shown, request.json);
      for (const { runDirectory } of locations) shell.writeError(`run: ${runDirectory}\n`);
      if (csvPath !== undefined) shell.writeError(`csv: ${csvPath}\n`);
      return 0;
    });
}
