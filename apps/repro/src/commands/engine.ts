import { renderText, type TableData } from "@memory-r1/report";
import { buildCommand, buildRouteMap, type CommandContext, type RouteMap } from "@stricli/core";
import { jsonFlag, parseText, parseWholeNumber, verboseFlag } from "../command-flags.ts";
import type {
  CheckEngineOptions,
  EngineCheckReport,
  NamedCheckResult,
} from "../engine-check/check-engine.ts";
import { guardCommand } from "../guard-command.ts";
import type { Shell } from "../shell.ts";

export interface EngineCheckRequest {
  readonly engine: string;
  readonly processes?: number;
  readonly dialect?: string;
  readonly model?: string;
  readonly only?: string;
  readonly json: boolean;
  readonly verbose: boolean;
}

/** `repro engine`: so far only `repro engine check`. */
export function buildEngineRoutes(
  handle: (request: EngineCheckRequest) => Promise<void>,
): RouteMap<CommandContext> {
  return buildRouteMap({
    routes: {
      check: buildCommand({
        func: (flags: EngineCheckRequest) => handle(flags),
        parameters: {
          flags: {
            engine: {
              kind: "parsed",
              parse: parseText,
              brief: "embedded; skyrl, installed and started for the check; or the URL of a server",
              placeholder: "ENGINE",
              default: "embedded",
            },
            processes: {
              kind: "parsed",
              parse: parseWholeNumber(1),
              brief: "JAX processes of skyrl, under Ray if there are several (default: 1)",
              placeholder: "N",
              optional: true,
            },
            dialect: {
              kind: "parsed",
              parse: parseText,
              brief:
                "What the server of a URL is: memory-r1 (default), skyrl-jax, skyrl-fsdp, skyrl-megatron",
              placeholder: "NAME",
              optional: true,
            },
            model: {
              kind: "parsed",
              parse: parseText,
              brief: "Name, id or folder of the model (default: the smallest)",
              placeholder: "NAME",
              optional: true,
            },
            only: {
              kind: "parsed",
              parse: parseText,
              brief: "Run the checks whose name contains this",
              placeholder: "TEXT",
              optional: true,
            },
            json: jsonFlag,
            verbose: verboseFlag,
          },
        },
        docs: {
          brief: "Check that a training engine does what the protocol says",
          fullDescription:
            "Runs the conformance suite of the engine protocol and three steps of GRPO on an engine, and prints what passed, what failed and what the engine does not offer. Exit code 1 if something failed. The token of a server is read from MEMORY_R1_ENDPOINT_TOKEN.",
        },
      }),
    },
    docs: { brief: "Check a training engine" },
  });
}

/** Exit code 0 if nothing failed, 1 otherwise. */
export function createEngineCheckHandler(
  shell: Shell,
  check: (options: CheckEngineOptions) => Promise<EngineCheckReport>,
): (request: EngineCheckRequest) => Promise<number> {
  return (request) =>
    guardCommand(shell, request.verbose, async () => {
      const interrupts = shell.watchInterrupts(() => shell.writeError("Stopping the engine …\n"));
      const log = (text: string): void => shell.writeError(`${text}\n`);
      try {
        const report = await check({
          engine: request.engine,
          processes: request.processes,
          dialect: request.dialect,
          model: request.model,
          only: request.only,
          environment: shell.environment,
          logger: { info: log, warn: log },
          onProgress: ({ message }) => log(message),
          onResult: (result) =>
            log(
              `${result.status}: ${result.group}: ${result.name} (${result.seconds.toFixed(1)} s)`,
            ),
          signal: interrupts.signal,
        });
        shell.writeOut(
          request.json ? `${JSON.stringify(report, null, 2)}\n` : renderText(checkTable(report)),
        );
        return report.results.some(({ status }) => status === "failed") ? 1 : 0;
      } finally {
        interrupts.dispose();
      }
    });
}

function checkTable({ engine, results }: EngineCheckReport): TableData {
  const count = (status: NamedCheckResult["status"]): number =>
    results.filter((result) => result.status === status).length;
  return {
    title: engine,
    columns: [
      { key: "group", label: "Part", kind: "text" },
      { key: "name", label: "Check", kind: "text" },
      { key: "status", label: "Result", kind: "text" },
      { key: "detail", label: "Why", kind: "text" },
    ],
    rows: results.map((result) => ({
      group: result.group,
      name: result.name,
      status: result.status,
      // Only the first line: a difference of two long lists has many.
      detail: result.status === "passed" ? "" : (result.reason.split("\n")[0] ?? ""),
    })),
    notes: [
      `${count("passed")} passed, ${count("failed")} failed, ${count("not offered")} not offered by this engine.`,
    ],
  };
}
