import { createInterface } from "node:readline";
import { $ } from "zx";

export interface CommandOptions {
  /** Which output is passed on line by line; empty lines are left out. */
  readonly stream: "stdout" | "stderr";
  readonly onLine: (line: string) => void;
  readonly env?: NodeJS.ProcessEnv;
  readonly signal?: AbortSignal | undefined;
}

/** How a set-up command ended. `exitCode` is null where a signal ended it. */
export interface CommandOutput {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command of the set-up to its end. A failure is an exit code; only the abort signal's reason is thrown. */
export async function runCommand(
  command: readonly string[],
  { stream, onLine, env, signal }: CommandOptions,
): Promise<CommandOutput> {
  signal?.throwIfAborted();
  const running = $({
    quiet: true,
    nothrow: true,
    ...(env === undefined ? {} : { env }),
    ...(signal === undefined ? {} : { signal }),
  })`${command}`;
  // A listener and not a loop over lines: the loop would wait for the end of a stream that an abort leaves open.
  const lines = createInterface({ input: running[stream] });
  lines.on("line", (line) => {
    if (line.trim() !== "") onLine(line.trim());
  });
  const { exitCode, stdout, stderr } = await running;
  lines.close();
  signal?.throwIfAborted();
  return { exitCode, stdout, stderr };
}

/** The last lines of an output, for an error message. */
export function lastLines(text: string, count = 15): string {
  return text.trimEnd().split("\n").slice(-count).join("\n");
}
