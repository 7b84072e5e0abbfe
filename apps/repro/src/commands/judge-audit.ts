import { resolve } from "node:path";
import { ConfigError } from "@memory-r1/spec";
import { buildCommand, type Command, type CommandContext } from "@stricli/core";
import {
  dataDirFlag,
  jsonFlag,
  parseText,
  parseWholeNumber,
  verboseFlag,
} from "../command-flags.ts";
import { guardCommand } from "../guard-command.ts";
import type { JudgePipeline } from "../judging/judge-work.ts";
import type { Shell } from "../shell.ts";
import { superviseJudging } from "../supervise-judging.ts";
import { type JudgeFlags, judgeFlags, toJudgeSettings } from "./judge-flags.ts";

export interface JudgeAuditRequest extends JudgeFlags {
  readonly labels?: string;
  readonly dataset?: string;
  readonly sample: number;
  readonly seed: number;
  readonly out: string;
  readonly dataDir?: string;
  readonly json: boolean;
  readonly verbose: boolean;
}

/** `repro judge-audit`. */
export function buildJudgeAuditCommand(
  handle: (request: JudgeAuditRequest) => Promise<void>,
): Command<CommandContext> {
  return buildCommand({
    func: (flags: JudgeAuditRequest) => handle(flags),
    parameters: {
      flags: {
        ...judgeFlags,
        labels: {
          kind: "parsed",
          parse: parseText,
          brief: 'Lines as of `judge --predictions`, with "label": "correct" or "wrong"',
          placeholder: "FILE",
          optional: true,
        },
        dataset: {
          kind: "parsed",
          parse: parseText,
          brief: "Plant right and wrong answers to questions of this data set",
          placeholder: "NAME",
          optional: true,
        },
        sample: {
          kind: "parsed",
          parse: parseWholeNumber(1),
          brief: "How many questions of the data set",
          placeholder: "N",
          default: "50",
        },
        seed: {
          kind: "parsed",
          parse: parseWholeNumber(0),
          brief: "Seed of the sample and of what is planted",
          placeholder: "N",
          default: "1",
        },
        out: {
          kind: "parsed",
          parse: parseText,
          brief: "Takes the judged lines; what it holds already is kept",
          placeholder: "FILE",
        },
        dataDir: dataDirFlag,
        json: jsonFlag,
        verbose: verboseFlag,
      },
    },
    docs: {
      brief: "Measure a judge: agreement with labels, and what it accepts of planted answers",
      fullDescription:
        "Measures how far a judge can be trusted: its agreement with a person's labels (--labels), and the share that it accepts of answers of which it is known whether they are right (--dataset): the gold answer, the gold answer in another dress, a vague answer on the topic, and specific wrong ones.",
    },
  });
}

export function createJudgeAuditHandler(
  shell: Shell,
  pipeline: JudgePipeline,
): (request: JudgeAuditRequest) => Promise<number> {
  return (request) =>
    guardCommand(shell, request.verbose, async () => {
      const { labels, dataset, sample, seed } = request;
      if (labels === undefined && dataset === undefined) {
        throw new ConfigError(
          "Name what the judge is measured by: --labels FILE, --dataset NAME, or both.",
        );
      }
      const toPath = (file: string): string => resolve(shell.environment.callerDirectory, file);
      return superviseJudging(shell, request, {
        work: (context) =>
          pipeline.auditJudge({
            ...toJudgeSettings(request, 1),
            ...(labels === undefined ? {} : { labelsFile: toPath(labels) }),
            ...(dataset === undefined ? {} : { dataset }),
            sample,
            seed,
            outFile: toPath(request.out),
            context,
          }),
        // The table is the result here; with --json that goes to stdout alone.
        write: (text) => (request.json ? shell.writeError(text) : shell.writeOut(text)),
      });
    });
}
