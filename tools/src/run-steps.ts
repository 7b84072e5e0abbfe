import { delimiter, join } from "node:path";
import { readScripts, repositoryRoot } from "./repository.ts";
import { runCommand } from "./run-command.ts";

/**
 * Runs scripts of the root's package.json one after another, all of them whatever the ones before say, and
 * prints name, result and seconds of each, with the output of those that fail.
 * @param write takes text for the terminal; the end of a line is part of it.
 * @returns the names of those that failed.
 */
export async function runSteps(
  names: readonly string[],
  write: (text: string) => void,
): Promise<readonly string[]> {
  const scripts = readScripts(repositoryRoot);
  const nameWidth = Math.max(...names.map((name) => name.length));
  const failed: string[] = [];
  for (const name of names) {
    const script = scripts[name];
    write(`${name.padEnd(nameWidth)}  `);
    const result =
      script === undefined
        ? { exitCode: 1, output: `package.json has no script "${name}"\n`, durationMs: 0 }
        : await runCommand(script, [], {
            directory: repositoryRoot,
            environment: stepEnvironment(),
            output: "capture",
            shell: true,
          });
    const isOk = result.exitCode === 0;
    write(`${isOk ? "ok    " : "FAILED"}  ${(result.durationMs / 1000).toFixed(1)} s\n`);
    if (!isOk) {
      failed.push(name);
      write(`${indent(result.output.trimEnd())}\n`);
    }
  }
  return failed;
}

function stepEnvironment(): Record<string, string | undefined> {
  return {
    ...process.env,
    PATH: `${join(repositoryRoot, "node_modules", ".bin")}${delimiter}${process.env["PATH"] ?? ""}`,
    // No step may call home.
    TURBO_TELEMETRY_DISABLED: "1",
    DO_NOT_TRACK: "1",
  };
}

function indent(text: string): string {
  return text.replaceAll(/^/gm, "    ");
}
