import { resolve } from "node:path";
import { buildCommand, type Command, type CommandContext } from "@stricli/core";
import { jsonFlag, parseText, runPositional, runsDirectoryOf } from "../command-flags.ts";
import type { ExportedAdapter, ExportOptions } from "../exporting/export-run.ts";
import { guardCommand } from "../guard-command.ts";
import { findRun } from "../run-folder.ts";
import type { Shell } from "../shell.ts";

export interface ExportFlags {
  readonly out: string;
  readonly stage?: string;
  readonly baseModel?: string;
  readonly json: boolean;
}

export interface ExportRequest extends ExportFlags {
  readonly run: string;
}

/** `repro export <run-id> --out DIR`. */
export function buildExportCommand(
  handle: (request: ExportRequest) => Promise<void>,
): Command<CommandContext> {
  return buildCommand({
    func: (flags: ExportFlags, run: string) => handle({ ...flags, run }),
    parameters: {
      positional: runPositional,
      flags: {
        out: {
          kind: "parsed",
          parse: parseText,
          brief: "Folder for the adapters, one folder a stage of training",
          placeholder: "DIR",
        },
        stage: {
          kind: "parsed",
          parse: parseText,
          brief: "Export this stage of training alone",
          placeholder: "NAME",
          optional: true,
        },
        baseModel: {
          kind: "parsed",
          parse: parseText,
          brief: "Id of the base model on the Hugging Face hub, where the run used a folder",
          placeholder: "ID",
          optional: true,
        },
        json: jsonFlag,
      },
    },
    docs: {
      brief: "Copy a run's trained adapters, for PEFT and the Hugging Face hub",
      fullDescription:
        "Copies the trained adapters of a finished run into folders in PEFT's format, each with a model card and the run's manifest, ready for `hf upload`.",
    },
  });
}

export function createExportHandler(
  shell: Shell,
  exportRun: (options: ExportOptions) => Promise<readonly ExportedAdapter[]>,
): (request: ExportRequest) => Promise<number> {
  return (request) =>
    guardCommand(shell, false, async () => {
      const { callerDirectory } = shell.environment;
      const { runDirectory } = await findRun({
        run: request.run,
        runsDirectory: runsDirectoryOf(shell, undefined),
        callerDirectory,
      });
      const adapters = await exportRun({
        runDirectory,
        outDirectory: resolve(callerDirectory, request.out),
        stage: request.stage,
        baseModelId: request.baseModel,
      });
      shell.writeOut(
        request.json
          ? `${JSON.stringify(adapters, null, 2)}\n`
          : adapters.map(({ directory }) => `${directory}\n`).join(""),
      );
      if (!request.json)
        shell.writeError("Publish one with: hf upload <owner>/<name> <its folder>\n");
      return 0;
    });
}
