import { buildCommand, type Command, type CommandContext } from "@stricli/core";
import {
  dataDirFlag,
  jsonFlag,
  outFlag,
  runPositional,
  runsDirectoryOf,
  setFlag,
  verboseFlag,
} from "../command-flags.ts";
import type { Override } from "../experiment.ts";
import { guardCommand } from "../guard-command.ts";
import { resumeCommandFor } from "../resume-command.ts";
import type { Pipeline } from "../run-context.ts";
import { ensureWritableFolder, findRun } from "../run-folder.ts";
import type { Shell } from "../shell.ts";
import { superviseRun } from "../supervise-run.ts";

export interface ResumeFlags {
  readonly dataDir?: string;
  readonly out?: string;
  readonly set?: readonly Override[];
  readonly json: boolean;
  readonly verbose: boolean;
}

export interface ResumeRequest extends ResumeFlags {
  readonly run: string;
}

/** `repro resume <run-id>`. */
export function buildResumeCommand(
  handle: (request: ResumeRequest) => Promise<void>,
): Command<CommandContext> {
  return buildCommand({
    func: (flags: ResumeFlags, run: string) => handle({ ...flags, run }),
    parameters: {
      positional: runPositional,
      flags: {
        dataDir: dataDirFlag,
        out: outFlag,
        set: {
          ...setFlag,
          brief:
            "Change one field of the evaluation, such as evaluation.testSample=500; may be repeated",
        },
        json: jsonFlag,
        verbose: verboseFlag,
      },
    },
    docs: {
      brief: "Go on with a run that was interrupted or failed",
      fullDescription:
        "Goes on with a run where it stopped. With --set evaluation.…, also with a finished one: what was trained is evaluated in another way, and what was answered already is not asked again.",
    },
  });
}

/** Finds the run and goes on with it under the configuration that it was started with, but for changes of `--set`. */
export function createResumeHandler(
  shell: Shell,
  pipeline: Pipeline,
): (request: ResumeRequest) => Promise<number> {
  return (request) =>
    guardCommand(shell, request.verbose, async () => {
      const { runDirectory } = await findRun({
        run: request.run,
        runsDirectory: runsDirectoryOf(shell, request.out),
        callerDirectory: shell.environment.callerDirectory,
      });
      await ensureWritableFolder(runDirectory, "Make the run's folder writable.");
      const supervised = {
        runDirectory,
        resumeCommand: resumeCommandFor(request.run, request),
        dataDir: request.dataDir,
        json: request.json,
        verbose: request.verbose,
      };
      return superviseRun(shell, supervised, (context) =>
        pipeline.resumeExperiment({ runDirectory, overrides: request.set ?? [], context }),
      );
    });
}
