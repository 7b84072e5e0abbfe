import { renderText, type TableData } from "@memory-r1/report";
import { buildCommand, type Command, type CommandContext } from "@stricli/core";
import { jsonFlag } from "../command-flags.ts";
import type { DoctorFinding } from "../doctor-checks.ts";
import { guardCommand } from "../guard-command.ts";
import type { Shell } from "../shell.ts";

export interface DoctorRequest {
  readonly json: boolean;
}

/** `repro doctor`. */
export function buildDoctorCommand(
  handle: (request: DoctorRequest) => Promise<void>,
): Command<CommandContext> {
  return buildCommand({
    func: (flags: DoctorRequest) => handle(flags),
    parameters: { flags: { json: jsonFlag } },
    docs: { brief: "Say what is missing on this machine, and how to get it" },
  });
}

/** Shows all findings. Exit code 0 if the demo can run, 2 if something in its way is for the user to mend. */
export function createDoctorHandler(
  shell: Shell,
  inspect: () => Promise<readonly DoctorFinding[]>,
): (request: DoctorRequest) => Promise<number> {
  return (request) =>
    guardCommand(shell, false, async () => {
      const findings = await inspect();
      const canRunDemo = findings.every(
        (finding) => finding.status !== "failed" || !finding.neededByDemo,
      );
      shell.writeOut(
        request.json
          ? `${JSON.stringify({ canRunDemo, findings }, null, 2)}\n`
          : renderText(findingTable(findings, canRunDemo)),
      );
      return canRunDemo ? 0 : 2;
    });
}

function findingTable(findings: readonly DoctorFinding[], canRunDemo: boolean): TableData {
  return {
    title: "",
    columns: [
      { key: "name", label: "Part", kind: "text" },
      { key: "status", label: "State", kind: "text" },
      { key: "detail", label: "Found", kind: "text" },
      { key: "fix", label: "What to do", kind: "text" },
    ],
    rows: findings.map(({ name, status, detail, fix }) => ({
      name,
      status,
      detail,
      fix: fix ?? "",
    })),
    notes: [
      canRunDemo
        ? "the demo can run; what it still needs it installs by itself."
        : "the demo cannot run before what failed is mended.",
    ],
  };
}
