import { renderError } from "./render-error.ts";
import type { Shell } from "./shell.ts";

/** Runs the part of a command that no run is in danger in: an error is shown and becomes the exit code. */
export async function guardCommand(
  shell: Shell,
  verbose: boolean,
  work: () => Promise<number>,
): Promise<number> {
  try {
    return await work();
  } catch (error) {
    const { text, exitCode } = renderError(error, { verbose });
    shell.writeError(text);
    return exitCode;
  }
}
