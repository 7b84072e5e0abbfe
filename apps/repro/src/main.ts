import { homedir } from "node:os";
import { addAbortSignal } from "node:stream";
import { runCommandLine } from "./cli.ts";
import { createCurvesHandler } from "./commands/curves.ts";
import { createDatasetsGetHandler } from "./commands/datasets/get.ts";
import { createDatasetsListHandler } from "./commands/datasets/list.ts";
import { createDatasetsShowHandler } from "./commands/datasets/show.ts";
import { createDatasetsStatsHandler } from "./commands/datasets/stats.ts";
import { createDatasetsVerifyHandler } from "./commands/datasets/verify.ts";
import { createDoctorHandler } from "./commands/doctor.ts";
import { createExportHandler } from "./commands/export.ts";
import { createEngineCheckHandler } from "./commands/engine.ts";
import { createJudgeAuditHandler } from "./commands/judge-audit.ts";
import { createJudgeHandler } from "./commands/judge.ts";
import { createListHandler } from "./commands/list.ts";
import { createReportHandler } from "./commands/report.ts";
import { createResumeHandler } from "./commands/resume.ts";
import { createRunHandler } from "./commands/run.ts";
import { createScoreHandler } from "./commands/score.ts";
import { readEnvironment } from "./environment.ts";
import { inspectSetup } from "./inspect-setup.ts";
import { watchInterrupts } from "./interrupts.ts";
import { createBarProgress, createLineProgress, type ProgressDisplay } from "./progress.ts";
import type { JudgePipeline } from "./judging/judge-work.ts";
import { readProjectFacts } from "./project-facts.ts";
import { renderError } from "./render-error.ts";
import { findRepositoryRoot } from "./repository-root.ts";
import type { Pipeline } from "./run-context.ts";
import type { Shell } from "./shell.ts";

/** The real pipeline, loaded when a command needs it: `--help` and usage errors answer at once. */
const pipeline: Pipeline = {
  runExperiment: async (options) =>
    (await import("./pipeline/run-experiment.ts")).runExperiment(options),
  resumeExperiment: async (options) =>
    (await import("./pipeline/run-experiment.ts")).resumeExperiment(options),
  tabulateRuns: async (options) =>
    (await import("./pipeline/tabulate-runs.ts")).tabulateRuns(options),
  listExperiments: async (options) =>
    (await import("./pipeline/list-experiments.ts")).listExperiments(options),
};

const judgePipeline: JudgePipeline = {
  judgeFile: async (options) => (await import("./judging/judge-file.ts")).judgeFile(options),
  judgeRun: async (options) => (await import("./judging/judge-run.ts")).judgeRun(options),
  auditJudge: async (options) => (await import("./judging/audit-judge.ts")).auditJudge(options),
};

async function main(): Promise<number> {
  const environment = readEnvironment({
    variables: process.env,
    platform: process.platform,
    homeDirectory: homedir(),
    currentDirectory: process.cwd(),
  });
  const repositoryRoot = findRepositoryRoot(import.meta.url);
  const project = await readProjectFacts(repositoryRoot);
  const writeOut = (text: string): void => void process.stdout.write(text);
  const writeError = (text: string): void => void process.stderr.write(text);
  const nowMs = (): number => performance.now();
  const drawsBars = process.stderr.isTTY && !environment.isContinuousIntegration;
  let display: ProgressDisplay | undefined;
  const exitNow = (exitCode: number): void => {
    // Bars hide the cursor; the terminal outlives us.
    display?.close();
    process.exit(exitCode);
  };
  const shell: Shell = {
    environment,
    repositoryRoot,
    writeOut,
    writeOutFully: (text) =>
      new Promise((resolve) => process.stdout.write(text, (error) => resolve(!error))),
    readInput: (signal) => addAbortSignal(signal, process.stdin),
    writeError,
    createProgress: () => {
      display = (drawsBars ? createBarProgress : createLineProgress)({
        stream: process.stderr,
        nowMs,
      });
      return display;
    },
    watchInterrupts: (onFirst) => watchInterrupts({ source: process, nowMs, onFirst, exitNow }),
    now: () => new Date(),
  };
  return runCommandLine({
    words: process.argv.slice(2),
    version: project.version,
    color: process.stderr.isTTY && process.stdout.isTTY && !environment.noColor,
    writeOut,
    writeError,
    handlers: {
      run: createRunHandler(shell, pipeline),
      resume: createResumeHandler(shell, pipeline),
      report: createReportHandler(shell, pipeline),
      curves: createCurvesHandler(shell, async (options) =>
        (await import("./curves/show-curves.ts")).showCurves(options),
      ),
      score: createScoreHandler(shell),
      judge: createJudgeHandler(shell, judgePipeline),
      judgeAudit: createJudgeAuditHandler(shell, judgePipeline),
      exportRun: createExportHandler(shell, async (options) =>
        (await import("./exporting/export-run.ts")).exportRun(options),
      ),
      list: createListHandler(shell, pipeline),
      datasets: {
        list: createDatasetsListHandler(shell),
        get: createDatasetsGetHandler(shell),
        verify: createDatasetsVerifyHandler(shell),
        stats: createDatasetsStatsHandler(shell),
        show: createDatasetsShowHandler(shell),
      },
      engineCheck: createEngineCheckHandler(shell, async (options) =>
        (await import("./engine-check/check-engine.ts")).checkEngine(options),
      ),
      doctor: createDoctorHandler(shell, () =>
        inspectSetup({
          environment,
          repositoryRoot,
          project,
          nodeVersion: process.version,
          inspectEngine: async () =>
            (await import("@memory-r1/engine")).inspectEngine({
              python: environment.pythonPath,
              cacheDirectory: environment.cacheDirectory,
            }),
          findLocomo: async () => {
            const { findFile, locomoFile } = await import("@memory-r1/datasets");
            const { dataDirectory, cacheDirectory } = environment;
            return findFile(locomoFile, { dataDirectory, cacheDirectory, download: false });
          },
        }),
      ),
    },
  });
}

/** Waits until everything written is on its way: process.exit drops what a slow pipe has not taken. */
async function flush(stream: NodeJS.WriteStream): Promise<void> {
  await new Promise<void>((resolve) => stream.write("", () => resolve()));
}

// A reader that has seen enough (`repro list | head -1`) and a closed terminal are no errors of ours.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE" && error.code !== "EIO") throw error;
  });
}

let exitCode: number;
try {
  exitCode = await main();
} catch (error) {
  const rendered = renderError(error, { verbose: false });
  process.stderr.write(rendered.text);
  exitCode = rendered.exitCode;
}
await Promise.all([flush(process.stdout), flush(process.stderr)]);
// Connections that are kept open for reuse must not keep a finished program alive.
process.exit(exitCode);
