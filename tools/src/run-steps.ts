import { delimiter, join } from "node:path";
import { runCommand } from "./run-command.ts";

/**
 * Runs scripts of the root's package.json one after another, all of them whatever the ones before say, and
 * prints name, result and seconds of each, with the output of those that fail.
 * @returns the names of those that failed.
 */
export async function runSteps(options: {
  readonly names: readonly string[];
  /** Scripts by name; a name without one fails. */
  readonly scripts: Readonly<Record<string, string>>;
  /** The repository's root: where the scripts run. */
  readonly directory: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Takes text for the terminal; the end of a line is part of it. */
  readonly write: (text: string) => void;
}): Promise<readonly string[]> {
  const { names, scripts, directory, write } = options;
  const nameWidth = Math.max(...names.map((name) => name.length));
  const environment = {
    ...options.environment,
    PATH: [join(directory, "node_modules", ".bin"), options.environment["PATH"]].join(delimiter),
    // What is captured is plain text.
    NO_COLOR: "1",
    // No step may call home.
    TURBO_TELEMETRY_DISABLED: "1",
    DO_NOT_TRACK: "1",
  };
  const failed: string[] = [];
  for (const name of names) {
    const script = scripts[name];
    write(`${name.padEnd(nameWidth)}  `);
    const result =
      script === undefined
        ? { exitCode: 1, output: `package.json has no script "${name}"`, durationMs: 0 }
        : await runCommand(script, [], { directory, environment, output: "capture", shell: true });
    const isOk = result.exitCode === 0;
    write(`${isOk ? "ok    " : "FAILED"}  ${(result.durationMs / 1000).toFixed(1)} s\n`);
    if (!isOk) {
      failed.push(name);
      write(`${indent(result.output.trimEnd())}\n`);
    }
  }
  return failed;
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, "    ");
}
