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

/** Runs the pipeline under supervision and shows what came of it: the table on stdout, where it lies on stderr. */
export function superviseRun(
  shell: Shell,
  run: SupervisedRun,
  work: (context: RunContext) => Promise<RunResult>,
): Promise<number> {
  const hasBegun = (): boolean => existsSync(run.runDirectory);
  return superviseWork(shell, {
    dataDir: run.dataDir,
    verbose: run.verbose,
    whenInterrupted: () =>
      hasBegun()
        ? `interrupted; finish with: ${run.resumeCommand}`
        : "interrupted before the run had begun; start it again",
    resumeCommand: () => (hasBegun() ? run.resumeCommand : undefined),
    work: async (context) => {
      const result = await work(context);
      await writeRunResult(result);
      return result;
    },
    show: (result) => {
      showResult(shell, result, run.json);
      return 0;
    },
  });
}

export interface SupervisedWork<Result> {
  readonly dataDir: string | undefined;
  readonly verbose: boolean;
  /** The line that answers the first Ctrl-C. */
  readonly whenInterrupted: () => string;
  /** How to go on after a failure; undefined where there is nothing to go on with. */
  readonly resumeCommand: () => string | undefined;
  readonly work: (context: RunContext) => Promise<Result>;
  /** Shows the result once the progress display is closed; returns the exit code. */
  readonly show: (result: Result) => number;
}

/**
 * Does long work with progress and Ctrl-C; an error is shown on stderr, with how to go on.
 * @returns the exit code: that of `show`, 1 or 2 (see renderError), or that of the signal which ended it (interruptExitCodes).
 */
export async function superviseWork<Result>(
  shell: Shell,
  options: SupervisedWork<Result>,
): Promise<number> {
  const progress = shell.createProgress();
  const interrupts = shell.watchInterrupts(() => progress.log(options.whenInterrupted()));
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
      options.dataDir === undefined
        ? environment.dataDirectory
        : resolve(environment.callerDirectory, options.dataDir),
    pythonPath: environment.pythonPath,
    huggingFaceToken: environment.huggingFaceToken,
    endpointToken: environment.endpointToken,
    repositoryRoot: shell.repositoryRoot,
  };
  try {
    const result = await options.work(context);
    progress.close();
    return options.show(result);
  } catch (error) {
    progress.close();
    const signal = interrupts.received();
    // After Ctrl-C whatever the work rejects with is the end that was asked for.
    if (signal !== undefined && !options.verbose) return interruptExitCodes[signal];
    const rendered = renderError(error, {
      verbose: options.verbose,
      resumeCommand: options.resumeCommand(),
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
