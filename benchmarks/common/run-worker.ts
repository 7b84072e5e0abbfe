import { spawn } from "node:child_process";
import { once } from "node:events";
import { delimiter } from "node:path";
import { text } from "node:stream/consumers";
import { HarnessError } from "@memory-r1/spec";

/**
 * Runs a program to its end: `input` goes to its standard input, what it printed comes back.
 * @throws HarnessError with the program's last words where it fails.
 */
export async function runWorker(options: {
  readonly command: string;
  /** The script and its arguments. */
  readonly arguments: readonly string[];
  /** Folders of modules that a Python script imports beside its own. */
  readonly modulePath?: readonly string[];
  readonly input?: string;
  /** Default: this process'. */
  readonly environment?: NodeJS.ProcessEnv;
  /** Ends the program. */
  readonly signal?: AbortSignal;
}): Promise<string> {
  const { signal } = options;
  signal?.throwIfAborted();
  const child = spawn(options.command, options.arguments, {
    stdio: ["pipe", "pipe", "pipe"],
    env: {
      ...(options.environment ?? process.env),
      PYTHONPATH: (options.modulePath ?? []).join(delimiter),
      PYTHONUTF8: "1",
      // No bytecode beside the sources.
      PYTHONDONTWRITEBYTECODE: "1",
    },
  });
  const kill = (): void => void child.kill("SIGKILL");
  signal?.addEventListener("abort", kill, { once: true });
  // A program that has ended does not take its input: its exit code says so.
  child.stdin.on("error", () => undefined);
  child.stdin.end(options.input ?? "");
  const [output, errors] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    once(child, "close"),
  ]);
  signal?.removeEventListener("abort", kill);
  signal?.throwIfAborted();
  if (child.exitCode !== 0) {
    throw new HarnessError(
      "benchmark",
      `${options.arguments.join(" ")} failed (${child.signalCode ?? `exit code ${String(child.exitCode)}`}):\n${errors.trim().slice(-4000)}`,
    );
  }
  return output;
}
