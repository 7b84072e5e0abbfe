import { renderText } from "@memory-r1/report";
import type { JudgeReport } from "./judging/judge-work.ts";
import type { RunContext } from "./run-context.ts";
import type { Shell } from "./shell.ts";
import { superviseWork } from "./supervise-run.ts";

/**
 * Judging from start to exit code: 0 where every line has what it can have, 1 where calls failed or lines are malformed.
 * Both are told, and cost no other line.
 */
export function superviseJudging(
  shell: Shell,
  flags: { readonly dataDir?: string; readonly json: boolean; readonly verbose: boolean },
  options: {
    readonly work: (context: RunContext) => Promise<JudgeReport>;
    /** Where the tables go. */
    readonly write: (text: string) => void;
  },
): Promise<number> {
  return superviseWork(shell, {
    dataDir: flags.dataDir,
    verbose: flags.verbose,
    whenInterrupted: () =>
      "interrupted; what was judged is kept: give the same command again to go on",
    resumeCommand: () => undefined,
    work: options.work,
    show: ({ tables, summary, files, malformed, failedCalls }) => {
      options.write(tables.map(renderText).join("\n"));
      if (flags.json) shell.writeOut(`${JSON.stringify(summary, null, 2)}\n`);
      for (const file of files) shell.writeError(`verdicts: ${file}\n`);
      if (malformed.length > 0) {
        shell.writeError(
          `${malformed.length} malformed lines were left out (lines ${listed(malformed)}): mend them and give the same command again.\n`,
        );
      }
      if (failedCalls > 0) {
        shell.writeError(
          `${failedCalls} lines lack a verdict because calls failed: give the same command again to ask once more.\n`,
        );
      }
      return failedCalls > 0 || malformed.length > 0 ? 1 : 0;
    },
  });
}

function listed(lines: readonly { readonly line: number }[]): string {
  const shown = lines.slice(0, 10).map(({ line }) => line);
  return shown.join(", ") + (lines.length > shown.length ? ", …" : "");
}
