import {
  buildApplication,
  buildRouteMap,
  ExitCode,
  help,
  run,
  type Application,
  type CommandContext,
  version,
} from "@stricli/core";
import { buildCurvesCommand, type CurvesRequest } from "./commands/curves.ts";
import { buildDatasetsRoutes, type DatasetsHandlers } from "./commands/datasets.ts";
import { buildDoctorCommand, type DoctorRequest } from "./commands/doctor.ts";
import { buildExportCommand, type ExportRequest } from "./commands/export.ts";
import { buildEngineRoutes, type EngineCheckRequest } from "./commands/engine.ts";
import { buildJudgeAuditCommand, type JudgeAuditRequest } from "./commands/judge-audit.ts";
import { buildJudgeCommand, type JudgeCommandRequest } from "./commands/judge.ts";
import { buildListCommand, type ListRequest } from "./commands/list.ts";
import { buildReportCommand, type ReportRequest } from "./commands/report.ts";
import { buildResumeCommand, type ResumeRequest } from "./commands/resume.ts";
import { buildRunCommand, type RunRequest } from "./commands/run.ts";
import { buildScoreCommand, type ScoreRequest } from "./commands/score.ts";

/** What each command does; the number is the exit code. */
export interface CommandHandlers {
  run(request: RunRequest): Promise<number>;
  resume(request: ResumeRequest): Promise<number>;
  report(request: ReportRequest): Promise<number>;
  curves(request: CurvesRequest): Promise<number>;
  score(request: ScoreRequest): Promise<number>;
  list(request: ListRequest): Promise<number>;
  doctor(request: DoctorRequest): Promise<number>;
  engineCheck(request: EngineCheckRequest): Promise<number>;
  readonly datasets: DatasetsHandlers<number>;
  judge(request: JudgeCommandRequest): Promise<number>;
  judgeAudit(request: JudgeAuditRequest): Promise<number>;
  exportRun(request: ExportRequest): Promise<number>;
}

export interface CommandLineOptions {
  /** The words after the program's name. */
  readonly words: readonly string[];
  readonly handlers: CommandHandlers;
  readonly version: string;
  readonly color: boolean;
  readonly writeOut: (text: string) => void;
  readonly writeError: (text: string) => void;
}

const programFlags: ReadonlySet<string> = new Set(["--help", "-h", "--version", "-v"]);

/**
 * Reads the command line and calls one handler.
 * @returns the handler's exit code; 0 after --help and --version; 2 for words that make no command.
 */
export async function runCommandLine(options: CommandLineOptions): Promise<number> {
  let handlerExitCode = 0;
  const keep =
    <Request>(handle: (request: Request) => Promise<number>) =>
    async (request: Request): Promise<void> => {
      handlerExitCode = await handle(request);
    };
  const application = buildProgram(options, keep);
  const { writeOut, writeError } = options;
  const processLike: { exitCode?: number | string | null } = {};
  const getColorDepth = (): number => (options.color ? 4 : 1);
  await run(application, withDefaultCommand(options.words), {
    process: Object.assign(processLike, {
      stdout: { write: writeOut, getColorDepth },
      stderr: { write: writeError, getColorDepth },
    }),
  });
  const exitCode = Number(processLike.exitCode ?? 0);
  if (exitCode === ExitCode.Success) return handlerExitCode;
  if (exitCode === ExitCode.UnknownCommand || exitCode === ExitCode.InvalidArgument) {
    writeError("See `repro --help`, or `repro <command> --help`.\n");
    return 2;
  }
  return 1;
}

function buildProgram(
  options: CommandLineOptions,
  keep: <Request>(
    handle: (request: Request) => Promise<number>,
  ) => (request: Request) => Promise<void>,
): Application<CommandContext> {
  const { handlers } = options;
  const routes = buildRouteMap({
    routes: {
      run: buildRunCommand(keep((request) => handlers.run(request))),
      resume: buildResumeCommand(keep((request) => handlers.resume(request))),
      report: buildReportCommand(keep((request) => handlers.report(request))),
      curves: buildCurvesCommand(keep((request) => handlers.curves(request))),
      score: buildScoreCommand(keep((request) => handlers.score(request))),
      judge: buildJudgeCommand(keep((request) => handlers.judge(request))),
      judgeAudit: buildJudgeAuditCommand(keep((request) => handlers.judgeAudit(request))),
      export: buildExportCommand(keep((request) => handlers.exportRun(request))),
      list: buildListCommand(keep((request) => handlers.list(request))),
      datasets: buildDatasetsRoutes({
        list: keep((request) => handlers.datasets.list(request)),
        get: keep((request) => handlers.datasets.get(request)),
        verify: keep((request) => handlers.datasets.verify(request)),
        stats: keep((request) => handlers.datasets.stats(request)),
        show: keep((request) => handlers.datasets.show(request)),
      }),
      engine: buildEngineRoutes(keep((request) => handlers.engineCheck(request))),
      doctor: buildDoctorCommand(keep((request) => handlers.doctor(request))),
    },
    docs: {
      brief: "Memory-R1: train a language model to manage its memory, and measure it",
      fullDescription:
        "Memory-R1: train a language model to manage its memory, and measure it.\nWithout a command it runs the demo: `repro run demo`.",
    },
  });
  return buildApplication(
    routes,
    {
      name: "repro",
      scanner: { caseStyle: "allow-kebab-for-camel" },
      documentation: { disableAnsiColor: !options.color },
    },
    {
      help: help({
        brief: "Print this help, or that of a command",
        defaultForRouteMap: true,
        formatting: {
          useAliasInUsageLine: false,
          onlyRequiredInUsageLine: false,
          caseStyle: "convert-camel-to-kebab",
        },
      }),
      version: version({ brief: "Print the version", info: { currentVersion: options.version } }),
    },
  );
}

/** No command, or flags alone, mean `run demo`. */
function withDefaultCommand(words: readonly string[]): readonly string[] {
  const first = words[0];
  if (first === undefined) return ["run", "demo"];
  return first.startsWith("-") && !programFlags.has(first) ? ["run", "demo", ...words] : words;
}
