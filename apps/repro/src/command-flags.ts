import { resolve } from "node:path";
import { ConfigError } from "@memory-r1/spec";
import type { Override } from "./experiment.ts";
import type { Shell } from "./shell.ts";

/** Flags that several commands share, in the form that @stricli/core takes. */
export const jsonFlag = {
  kind: "boolean",
  brief: "Write the result as JSON to stdout; everything else goes to stderr",
  default: false,
  withNegated: false,
} as const;

export const verboseFlag = {
  kind: "boolean",
  brief: "Show the stack of an error",
  default: false,
  withNegated: false,
} as const;

export const outFlag = {
  kind: "parsed",
  parse: parseText,
  brief: "Folder that holds the runs (default: runs in the repository)",
  placeholder: "DIR",
  optional: true,
} as const;

export const dataDirFlag = {
  kind: "parsed",
  parse: parseText,
  brief: "Folder with the data sets (default: MEMORY_R1_DATA_DIR)",
  placeholder: "DIR",
  optional: true,
} as const;

export const setFlag = {
  kind: "parsed",
  parse: parseOverride,
  brief: "Change one field of the experiment's configuration; may be repeated",
  placeholder: "a.b=c",
  variadic: true,
  optional: true,
} as const;

export const runPositional = {
  kind: "tuple",
  parameters: [
    { parse: parseText, brief: "Id of a run, or the path of its folder", placeholder: "run-id" },
  ],
} as const;

/** @throws ConfigError for an empty text, which is nearly always an unset variable in a script. */
export function parseText(input: string): string {
  if (input.trim() === "") throw new ConfigError("the value is empty");
  return input;
}

/** `a.b=c` as a path and a text; the text may be empty and may hold `=`. @throws ConfigError */
function parseOverride(input: string): Override {
  const equals = input.indexOf("=");
  const path = input.slice(0, equals);
  if (equals < 1 || path.split(".").some((part) => part.trim() === "")) {
    throw new ConfigError(
      `${JSON.stringify(input)} is not of the form path=value, such as training.0.steps=20`,
    );
  }
  return [path, input.slice(equals + 1)];
}

/** A parser of whole numbers from `minimum` on that are exact in a double. Its errors are ConfigErrors. */
export function parseWholeNumber(minimum: number): (input: string) => number {
  return (input) => {
    const value = Number(input);
    if (!/^\d+$/.test(input) || !Number.isSafeInteger(value) || value < minimum) {
      throw new ConfigError(
        `${JSON.stringify(input)} is not a whole number of at least ${minimum}`,
      );
    }
    return value;
  };
}

/** Absolute path of the folder with the runs: --out from where the user stands, or `runs` in the repository. */
export function runsDirectoryOf(shell: Shell, out: string | undefined): string {
  return resolve(
    ...(out === undefined
      ? [shell.repositoryRoot, "runs"]
      : [shell.environment.callerDirectory, out]),
  );
}
