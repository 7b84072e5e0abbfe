import { spawn } from "node:child_process";

/** How a command ended. */
export interface CommandResult {
  /** A command that was ended by a signal, or could not be started, has exit code 1. */
  readonly exitCode: number;
  /** stdout and stderr in the order in which they came; empty where they were shown at once. */
  readonly output: string;
  readonly durationMs: number;
}

export interface RunCommandOptions {
  readonly directory: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** `capture` returns the output, `show` passes it on while it comes. */
  readonly output: "capture" | "show";
  /** True: `command` is a line for the system's shell, as scripts of a package.json are. */
  readonly shell?: boolean;
}

/** Runs a command to its end. A program that cannot be started counts as failed, with the reason as its output. */
export async function runCommand(
  command: string,
  commandArguments: readonly string[],
  options: RunCommandOptions,
): Promise<CommandResult> {
  const startMs = performance.now();
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    const finish = (exitCode: number, problem: string): void => {
      const output = Buffer.concat(chunks).toString("utf8") + problem;
      resolve({ exitCode, output, durationMs: performance.now() - startMs });
    };
    const child = spawn(command, commandArguments, {
      cwd: options.directory,
      env: options.environment,
      shell: options.shell ?? false,
      stdio:
        options.output === "show" ? ["ignore", "inherit", "inherit"] : ["ignore", "pipe", "pipe"],
    });
    const collect = (chunk: Buffer): void => {
      chunks.push(chunk);
    };
    child.stdout?.on("data", collect);
    child.stderr?.on("data", collect);
    child.once("error", (error) => {
      finish(1, `${command} could not be started: ${error.message}\n`);
    });
    child.once("close", (exitCode, signal) => {
      finish(exitCode ?? 1, signal === null ? "" : `${command} was ended by ${signal}\n`);
    });
  });
}
