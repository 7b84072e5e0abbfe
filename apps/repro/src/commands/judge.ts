import { resolve } from "node:path";
import { ConfigError } from "@memory-r1/spec";
import { buildCommand, type Command, type CommandContext } from "@stricli/core";
import {
  dataDirFlag,
  jsonFlag,
  parseText,
  parseWholeNumber,
  runsDirectoryOf,
  verboseFlag,
} from "../command-flags.ts";
import { guardCommand } from "../guard-command.ts";
import type { JudgePipeline, JudgeReport, JudgeSettings } from "../judging/judge-work.ts";
import type { RunContext } from "../run-context.ts";
import { findRun } from "../run-folder.ts";
import type { Shell } from "../shell.ts";
import { superviseJudging } from "../supervise-judging.ts";
import { judgeDescriptions, type JudgeFlags, judgeFlags, toJudgeSettings } from "./judge-flags.ts";

export interface JudgeCommandFlags extends JudgeFlags {
  readonly predictions?: string;
  readonly out?: string;
  readonly runs: number;
  readonly arm?: readonly string[];
  readonly dataDir?: string;
  readonly json: boolean;
  readonly verbose: boolean;
}

export interface JudgeCommandRequest extends JudgeCommandFlags {
  /** Absent: a file of predictions is judged. */
  readonly run?: string;
}

/** `repro judge [run-id]`. */
export function buildJudgeCommand(
  handle: (request: JudgeCommandRequest) => Promise<void>,
): Command<CommandContext> {
  return buildCommand({
    func: (flags: JudgeCommandFlags, run?: string) =>
      handle({ ...flags, ...(run === undefined ? {} : { run }) }),
    parameters: {
      positional: {
        kind: "tuple",
        parameters: [
          {
            parse: parseText,
            brief: "Id of a run whose predictions are judged, or the path of its folder",
            placeholder: "run-id",
            optional: true,
          },
        ],
      },
      flags: {
        ...judgeFlags,
        predictions: {
          kind: "parsed",
          parse: parseText,
          brief:
            'JSON lines {"id", "question", "answer", "prediction", "category", "type", "answerable"}',
          placeholder: "FILE",
          optional: true,
        },
        out: {
          kind: "parsed",
          parse: parseText,
          brief:
            "Takes the lines of --predictions with their verdicts; what it holds already is kept",
          placeholder: "FILE",
          optional: true,
        },
        runs: {
          kind: "parsed",
          parse: parseWholeNumber(1),
          brief: "Verdicts for each answer",
          placeholder: "N",
          default: "1",
        },
        arm: {
          kind: "parsed",
          parse: parseText,
          brief: "Judge this arm of the run alone; may be repeated",
          placeholder: "NAME",
          variadic: true,
          optional: true,
        },
        dataDir: dataDirFlag,
        json: jsonFlag,
        verbose: verboseFlag,
      },
    },
    docs: {
      brief: "Have a language model judge answers: those of a run, or of a file",
      fullDescription: [
        "Asks a model, for each answer, whether it is right, and keeps every verdict with all that it rests on. Judges a run (`judge <run-id>`, into its folder verdicts/) or any file of predictions (`--predictions FILE --out FILE`). What was judged is kept: after Ctrl-C or a failure give the same command again.",
        judgeDescriptions,
      ].join("\n\n"),
    },
  });
}

export function createJudgeHandler(
  shell: Shell,
  pipeline: JudgePipeline,
): (request: JudgeCommandRequest) => Promise<number> {
  return (request) =>
    guardCommand(shell, request.verbose, async () => {
      const settings = toJudgeSettings(request, request.runs);
      const work = await workOf(shell, pipeline, request);
      return superviseJudging(shell, request, {
        work: (context) => work(settings, context),
        write: (text) => shell.writeError(text),
      });
    });
}

type JudgeWork = (settings: JudgeSettings, context: RunContext) => Promise<JudgeReport>;

/** A run or a file, never both. @throws ConfigError */
async function workOf(
  shell: Shell,
  pipeline: JudgePipeline,
  request: JudgeCommandRequest,
): Promise<JudgeWork> {
  const { run, predictions, out, arm } = request;
  const { callerDirectory } = shell.environment;
  if (run === undefined) {
    if (predictions === undefined || out === undefined || arm !== undefined) {
      throw new ConfigError(
        "Name a run (`repro judge <run-id>`), or a file of predictions and one for the verdicts (`--predictions FILE --out FILE`); --arm goes with a run.",
      );
    }
    const files = {
      predictionsFile: resolve(callerDirectory, predictions),
      outFile: resolve(callerDirectory, out),
    };
    return (settings, context) => pipeline.judgeFile({ ...settings, ...files, context });
  }
  if (predictions !== undefined || out !== undefined) {
    throw new ConfigError(
      "The verdicts on a run go into its own folder: leave out --predictions and --out. A run elsewhere is named by the path of its folder.",
    );
  }
  const { runDirectory } = await findRun({
    run,
    runsDirectory: runsDirectoryOf(shell, undefined),
    callerDirectory,
  });
  const arms = arm === undefined ? {} : { arms: arm };
  return (settings, context) => pipeline.judgeRun({ ...settings, runDirectory, ...arms, context });
}
