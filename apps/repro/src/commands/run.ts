import { join } from "node:path";
import { ConfigError } from "@memory-r1/spec";
import { buildCommand, type Command, type CommandContext } from "@stricli/core";
import {
  dataDirFlag,
  jsonFlag,
  outFlag,
  parseText,
  parseWholeNumber,
  runsDirectoryOf,
  setFlag,
  verboseFlag,
} from "../command-flags.ts";
import type { Override } from "../experiment.ts";
import { guardCommand } from "../guard-command.ts";
import { resumeCommandFor } from "../resume-command.ts";
import { numberFormats, type NumberFormat, type Pipeline } from "../run-context.ts";
import { chooseRunId, ensureWritableFolder } from "../run-folder.ts";
import type { Shell } from "../shell.ts";
import { superviseRun } from "../supervise-run.ts";

export interface RunFlags {
  readonly dataDir?: string;
  readonly out?: string;
  readonly seed?: number;
  readonly set?: readonly Override[];
  readonly dtype?: NumberFormat;
  readonly threads?: number;
  readonly id?: string;
  readonly json: boolean;
  readonly verbose: boolean;
}

export interface RunRequest extends RunFlags {
  /** A name of `repro list`. */
  readonly experimentName: string;
}

/** `repro run <experiment>`. The handler's number is the exit code. */
export function buildRunCommand(
  handle: (request: RunRequest) => Promise<void>,
): Command<CommandContext> {
  return buildCommand({
    func: (flags: RunFlags, experimentName: string) => handle({ ...flags, experimentName }),
    parameters: {
      positional: {
        kind: "tuple",
        parameters: [
          {
            parse: parseText,
            brief: "Name of an experiment (`repro list` shows them)",
            placeholder: "experiment",
            default: "demo",
          },
        ],
      },
      flags: {
        dataDir: dataDirFlag,
        out: outFlag,
        seed: {
          kind: "parsed",
          parse: parseWholeNumber(0),
          brief: "Seed of everything random",
          placeholder: "N",
          optional: true,
        },
        set: setFlag,
        dtype: {
          kind: "enum",
          values: numberFormats,
          brief: "Number format of the frozen weights",
          optional: true,
        },
        threads: {
          kind: "parsed",
          parse: parseWholeNumber(1),
          brief: "Threads of the engine",
          placeholder: "N",
          optional: true,
        },
        id: {
          kind: "parsed",
          parse: parseText,
          brief: "Name of the run's folder (default: experiment and time)",
          placeholder: "NAME",
          optional: true,
        },
        json: jsonFlag,
        verbose: verboseFlag,
      },
    },
    docs: {
      brief: "Run an experiment: train, evaluate, print the table",
      fullDescription:
        "Runs an experiment of benchmarks/ and writes everything about it to a folder of its own. Without any command the program runs `demo`, which needs no data.",
    },
  });
}

/** Checks the request, makes a place for the run and runs it. */
export function createRunHandler(
  shell: Shell,
  pipeline: Pipeline,
): (request: RunRequest) => Promise<number> {
  return (request) =>
    guardCommand(shell, request.verbose, async () => {
      const { experimentName, seed, dtype, threads } = request;
      await checkExperimentName(shell, pipeline, experimentName);
      const runsDirectory = runsDirectoryOf(shell, request.out);
      await ensureWritableFolder(
        runsDirectory,
        "Choose another folder with --out, or make this one writable.",
      );
      const runId = chooseRunId({
        experimentName,
        givenId: request.id,
        runsDirectory,
        now: shell.now(),
      });
      const runDirectory = join(runsDirectory, runId);
      const supervised = {
        runDirectory,
        resumeCommand: resumeCommandFor(runId, request),
        dataDir: request.dataDir,
        json: request.json,
        verbose: request.verbose,
      };
      return superviseRun(shell, supervised, (context) =>
        pipeline.runExperiment({
          experimentName,
          overrides: request.set ?? [],
          runDirectory,
          runId,
          ...(seed === undefined ? {} : { seed }),
          ...(dtype === undefined ? {} : { dtype }),
          ...(threads === undefined ? {} : { threads }),
          context,
        }),
      );
    });
}

/** Before anything is made on the disk. @throws ConfigError for a name that no experiment has. */
async function checkExperimentName(
  shell: Shell,
  pipeline: Pipeline,
  experimentName: string,
): Promise<void> {
  const experiments = await pipeline.listExperiments({ repositoryRoot: shell.repositoryRoot });
  const names = experiments.map((experiment) => experiment.name);
  if (names.includes(experimentName)) return;
  throw new ConfigError(
    `There is no experiment ${experimentName}. There are: ${names.join(", ")}.`,
  );
}
