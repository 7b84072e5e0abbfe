import type { JudgeName } from "@memory-r1/metrics";
import type { TableData } from "@memory-r1/report";
import type { RunContext } from "../run-context.ts";
import type { JudgeModelOptions } from "./judge-model.ts";
import type { MalformedLine } from "./prediction-lines.ts";

/** Who judges, and how; paths are absolute. */
export interface JudgeSettings extends JudgeModelOptions {
  readonly judge: JudgeName;
  readonly runs: number;
  readonly constrained: boolean;
}

/** What came of judging, for whoever shows it. */
export interface JudgeReport {
  readonly tables: readonly TableData[];
  /** The same numbers in full, as JSON. */
  readonly summary: object;
  readonly files: readonly string[];
  readonly malformed: readonly MalformedLine[];
  /** Lines of which a call failed at last. */
  readonly failedCalls: number;
}

export interface JudgeFileOptions extends JudgeSettings {
  readonly predictionsFile: string;
  readonly outFile: string;
  readonly context: RunContext;
}

export interface JudgeRunOptions extends JudgeSettings {
  readonly runDirectory: string;
  /** Names of arms; absent: all. */
  readonly arms?: readonly string[];
  readonly context: RunContext;
}

export interface AuditJudgeOptions extends JudgeSettings {
  readonly labelsFile?: string;
  readonly dataset?: string;
  /** How many questions answers are planted for. */
  readonly sample: number;
  readonly seed: number;
  readonly outFile: string;
  readonly context: RunContext;
}

/** What the commands need of this folder; loaded when one is given. */
export interface JudgePipeline {
  judgeFile(options: JudgeFileOptions): Promise<JudgeReport>;
  judgeRun(options: JudgeRunOptions): Promise<JudgeReport>;
  auditJudge(options: AuditJudgeOptions): Promise<JudgeReport>;
}
