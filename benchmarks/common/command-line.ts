import { resolve } from "node:path";
import { parseArgs, type ParseArgsConfig } from "node:util";
import { ConfigError, HarnessError } from "@memory-r1/spec";

/**
 * The values of a benchmark's flags.
 * @throws ConfigError for an unknown flag, and for one without its value
 */
export function readFlags<const Flags extends NonNullable<ParseArgsConfig["options"]>>(
  flags: Flags,
  given: readonly string[] = process.argv.slice(2),
): ReturnType<typeof parseArgs<{ args: string[]; options: Flags }>>["values"] {
  try {
    // `pnpm bench:speed -- --seed 1` hands the dashes on.
    const args = given.filter((argument) => argument !== "--");
    return parseArgs({ args, options: flags }).values;
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw new ConfigError(`${cause.message}. \`--help\` lists the flags.`, cause);
  }
}

/** The flags that every measurement of training has. */
export const trainingFlags = {
  repetitions: { type: "string", default: "3" },
  threads: { type: "string", default: "2" },
  seed: { type: "string", default: "0" },
  output: { type: "string", default: "results" },
  help: { type: "boolean", default: false },
} as const;

export interface TrainingOptions {
  /** Measured steps of each engine. */
  readonly repetitions: number;
  readonly threads: number;
  readonly seed: number;
  /** Folder of the results. */
  readonly output: string;
}

/** @param root what a relative --output starts from @throws ConfigError */
export function readTrainingOptions(
  values: Readonly<Record<keyof TrainingOptions, string>>,
  root: string,
): TrainingOptions {
  return {
    repetitions: parseCount("--repetitions", values.repetitions, 1),
    threads: parseCount("--threads", values.threads, 1),
    seed: parseCount("--seed", values.seed, 0),
    output: resolve(root, values.output),
  };
}

/** What a person types to measure the same; for a manifest. */
export function writeCommand(program: string, measured: Readonly<Record<string, string>>): string {
  const flags = Object.entries(measured).map(([flag, value]) => `--${flag} ${value}`);
  return [`pnpm ${program}`, ...flags].join(" ");
}

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
