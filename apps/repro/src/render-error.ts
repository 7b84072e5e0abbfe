import { HarnessError } from "@memory-r1/spec";

export interface RenderedError {
  /** Ends in a newline. */
  readonly text: string;
  /** 2: the user can mend it. 1: something failed. */
  readonly exitCode: 1 | 2;
}

/** Codes of the errors whose message alone tells the user what to mend. */
const userErrorCodes: ReadonlySet<string> = new Set([
  "config",
  "data_integrity",
  "data_format",
  "resume_mismatch",
]);

/**
 * An error as the user sees it. What the user can mend: the message alone. Other errors on purpose: the message and
 * what caused it. Anything else is a bug, so it comes with its stack.
 * @param options.resumeCommand how to go on with the run; shown with exit code 1 where given
 */
export function renderError(
  error: unknown,
  options: { readonly verbose: boolean; readonly resumeCommand?: string | undefined },
): RenderedError {
  const isExpected = HarnessError.isInstance(error);
  const exitCode = isExpected && userErrorCodes.has(error.code) ? 2 : 1;
  const lines = [`error: ${messageOf(error)}`];
  if (exitCode === 1 || options.verbose)
    lines.push(...causesOf(error).map((cause) => `  caused by: ${messageOf(cause)}`));
  if ((options.verbose || !isExpected) && error instanceof Error) lines.push(...stackOf(error));
  if (exitCode === 1 && options.resumeCommand !== undefined)
    lines.push(`resume with: ${options.resumeCommand}`);
  return { text: `${lines.join("\n")}\n`, exitCode };
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.message !== "") return error.message;
  // Failed connections come as an AggregateError with no message and one error for each address.
  if (error instanceof AggregateError) return error.errors.map(messageOf).join("; ");
  return "code" in error ? String(error.code) : error.name;
}

function causesOf(error: unknown): readonly unknown[] {
  const causes: unknown[] = [];
  const seen = new Set<unknown>([error]);
  for (
    let cause = causeOf(error);
    cause !== undefined && !seen.has(cause);
    cause = causeOf(cause)
  ) {
    causes.push(cause);
    seen.add(cause);
  }
  return causes;
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined;
}

function stackOf(error: Error): readonly string[] {
  return (error.stack ?? "").split("\n").filter((line) => line.startsWith("    at "));
}
