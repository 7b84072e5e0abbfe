import type { KnownIssuesMode, TableData } from "@memory-r1/report";
import type { Logger } from "@memory-r1/spec";
import type { Override } from "./experiment.ts";

/** One piece of work with a known amount, shown to the user while it goes on. */
export interface ProgressTask {
  /** `by` more units are done; default 1. */
  advance(by?: number): void;
  /** A short text beside the numbers, such as the latest reward; it replaces the one before. */
  note(text: string): void;
  /** The work has ended, whether all units were done or not. A second call does nothing. */
  done(): void;
}

/** What the command line gives a pipeline: everything of the outside world that it may touch. */
export interface RunContext {
  readonly logger: Logger;
  /** Starts a task of `total` units; tasks may overlap. */
  startProgress(label: string, total: number): ProgressTask;
  /** Aborts at the first Ctrl-C: finish or drop the work in hand, stop the engine, then reject. */
  readonly signal: AbortSignal;
  /** Absolute; may not exist yet. */
  readonly cacheDirectory: string;
  /** Absolute, from --data-dir or MEMORY_R1_DATA_DIR. */
  readonly dataDirectory: string | undefined;
  /** The Python to use, from MEMORY_R1_PYTHON: a path or a command name. */
  readonly pythonPath: string | undefined;
  readonly huggingFaceToken: string | undefined;
  /** For a model server that the user names, from MEMORY_R1_ENDPOINT_TOKEN. */
  readonly endpointToken: string | undefined;
  readonly repositoryRoot: string;
}

export type NumberFormat = "float32" | "bfloat16";
export const numberFormats = ["float32", "bfloat16"] as const;

export interface RunExperimentOptions {
  readonly experimentName: string;
  readonly overrides: readonly Override[];
  /** Absolute; does not exist yet, its parent does and is writable. */
  readonly runDirectory: string;
  readonly runId: string;
  readonly seed?: number;
  readonly dtype?: NumberFormat;
  readonly threads?: number;
  readonly context: RunContext;
}

export interface ResumeExperimentOptions {
  /** Absolute; exists. */
  readonly runDirectory: string;
  /** Changes of the evaluation alone; none: goes on as it was started. */
  readonly overrides: readonly Override[];
  readonly context: RunContext;
}

export interface RunResult {
  readonly runId: string;
  readonly runDirectory: string;
  /** Absolute path of the CSV file with the same results as `table` in full precision. */
  readonly csvPath: string;
  readonly table: TableData;
  /** What belongs below it: by category, by way of averaging, on questions to be refused. */
  readonly detailTables: readonly TableData[];
}

/** Another view of finished runs; what is absent is as the experiment says. */
export interface RunViewRequest {
  readonly categoryNaming?: string;
  readonly knownIssues?: KnownIssuesMode | "both";
  /** The metric of intervals, categories and comparisons: any of the registry. */
  readonly metric?: string;
}

export interface TabulateRunsOptions {
  /** Absolute; exist. Several are runs of one experiment that differ in their seed. */
  readonly runDirectories: readonly string[];
  readonly view: RunViewRequest;
  /** Absolute path of a CSV file to be written with every scope and metric. */
  readonly csvPath?: string;
  readonly context: Pick<RunContext, "cacheDirectory" | "dataDirectory" | "logger">;
}

/** Tables that were made anew from the answers of finished runs. */
export interface RunView {
  readonly runs: readonly { readonly runId: string; readonly runDirectory: string }[];
  readonly table: TableData;
  readonly detailTables: readonly TableData[];
}

/** An experiment that `run` knows by name. */
export interface ExperimentSummary {
  readonly name: string;
  /** One line. */
  readonly description: string;
  /** What it takes unless `--set dataset=` names another. */
  readonly dataset: string;
}

/** What the command line needs of the experiment pipeline. */
export interface Pipeline {
  runExperiment(options: RunExperimentOptions): Promise<RunResult>;
  resumeExperiment(options: ResumeExperimentOptions): Promise<RunResult>;
  /** Scores the answers of finished runs again. @throws ConfigError where a run has not ended or they do not belong together */
  tabulateRuns(options: TabulateRunsOptions): Promise<RunView>;
  listExperiments(options: {
    readonly repositoryRoot: string;
  }): Promise<readonly ExperimentSummary[]>;
}
