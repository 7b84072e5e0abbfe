import { ConfigError, HarnessError } from "@memory-r1/spec";

/** A flag's whole number. @throws ConfigError where it is none or smaller */
export function parseCount(flag: string, text: string, smallest: number): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < smallest) {
    throw new ConfigError(`${flag}: "${text}" is not a whole number of ${smallest} or more.`);
  }
  return value;
}

/**
 * A benchmark as a program: prints `help` where there are no options to run with, and ends with one message and exit code 2
 * for what the user has to mend, 130 for what was interrupted, 1 for what failed.
 */
export async function runCommand<Options>(
  help: string,
  readOptions: () => Options | undefined,
  run: (options: Options) => Promise<void>,
): Promise<void> {
  try {
    const options = readOptions();
    if (options === undefined) process.stdout.write(help);
    else await run(options);
  } catch (error) {
    if (!HarnessError.isInstance(error)) throw error;
    console.error(error.message);
    process.exitCode = error.code === "config" ? 2 : error.code === "interrupted" ? 130 : 1;
  }
}
