import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { renderText } from "@memory-r1/report";
import { interruptExitCodes } from "./interrupts.ts";
import { renderError } from "./render-error.ts";
import type { RunContext, RunResult } from "./run-context.ts";
import { writeRunResult } from "./run-result.ts";
import type { Shell } from "./shell.ts";

export interface SupervisedRun {
  readonly runDirectory: string;
  /** What the user types to go on with this run. */
  readonly resumeCommand: string;
  readonly dataDir: string | undefined;
  readonly json: boolean;
  readonly verbose: boolean;
}

/**
 * Runs the pipeline with progress and Ctrl-C, and shows what came of it: the table on stdout, or an error and how to
 * go on on stderr.
 * @returns the exit code: 0, 1 or 2 (see renderError), or that of the signal which ended it (interruptExitCodes).
 */
export async function superviseRun(
  shell: Shell,
  run: SupervisedRun,
  work: (context: RunContext) => Promise<RunResult>,
): Promise<number> {
  const progress = shell.createProgress();
  const interrupts = shell.watchInterrupts(() => {
    progress.log(
      existsSync(run.runDirectory)
        ? `interrupted; finish with: ${run.resumeCommand}`
        : "interrupted before the run had begun; start it again",
    );
  });
  const { environment } = shell;
  const context: RunContext = {
    logger: {
      info: (message) => progress.log(message),
      warn: (message) => progress.log(`warning: ${message}`),
    },
    startProgress: (label, total) => progress.startProgress(label, total),
    signal: interrupts.signal,
    cacheDirectory: environment.cacheDirectory,
    dataDirectory:
      run.dataDir === undefined
        ? environment.dataDirectory
        : resolve(environment.callerDirectory, run.dataDir),
    pythonPath: environment.pythonPath,
    huggingFaceToken: environment.huggingFaceToken,
    repositoryRoot: shell.repositoryRoot,
  };
  try {
    const result = await work(context);
    await writeRunResult(result);
    progress.close();
    showResult(shell, result, run.json);
    return 0;
  } catch (error) {
    progress.close();
    const signal = interrupts.received();
    // After Ctrl-C whatever the pipeline rejects with is the end that was asked for.
    if (signal !== undefined && !run.verbose) return interruptExitCodes[signal];
    const rendered = renderError(error, {
      verbose: run.verbose,
      resumeCommand: existsSync(run.runDirectory) ? run.resumeCommand : undefined,
    });
    shell.writeError(rendered.text);
    return signal === undefined ? rendered.exitCode : interruptExitCodes[signal];
  } finally {
    interrupts.dispose();
  }
}

/** Tables (or all of the value as JSON) to stdout. */
export function showTables(
  shell: Shell,
  shown: Pick<RunResult, "table" | "detailTables">,
  json: boolean,
): void {
  const tables = [shown.table, ...shown.detailTables];
  shell.writeOut(json ? `${JSON.stringify(shown, null, 2)}\n` : tables.map(renderText).join("\n"));
}

/** The tables to stdout, where they lie to stderr. */
export function showResult(shell: Shell, result: RunResult, json: boolean): void {
  showTables(shell, result, json);
  shell.writeError(`run: ${result.runDirectory}\ncsv: ${result.csvPath}\n`);
}
