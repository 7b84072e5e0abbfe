import { buildCommand, type Command, type CommandContext } from "@stricli/core";
import { jsonFlag, outFlag, runPositional, runsDirectoryOf } from "../command-flags.ts";
import { guardCommand } from "../guard-command.ts";
import { findRun } from "../run-folder.ts";
import { readRunResult } from "../run-result.ts";
import type { Shell } from "../shell.ts";
import { showResult } from "../supervise-run.ts";

export interface ReportFlags {
  readonly out?: string;
  readonly json: boolean;
}

export interface ReportRequest extends ReportFlags {
  readonly run: string;
}

/** `repro report <run-id>`. */
export function buildReportCommand(
  handle: (request: ReportRequest) => Promise<void>,
): Command<CommandContext> {
  return buildCommand({
    func: (flags: ReportFlags, run: string) => handle({ ...flags, run }),
    parameters: { positional: runPositional, flags: { out: outFlag, json: jsonFlag } },
    docs: { brief: "Print the table of a finished run again" },
  });
}

export function createReportHandler(shell: Shell): (request: ReportRequest) => Promise<number> {
  return (request) =>
    guardCommand(shell, false, async () => {
      const { runDirectory } = await findRun({
        run: request.run,
        runsDirectory: runsDirectoryOf(shell, request.out),
        callerDirectory: shell.environment.callerDirectory,
      });
      showResult(shell, await readRunResult(runDirectory), request.json);
      return 0;
    });
}
