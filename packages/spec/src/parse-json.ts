import type { z } from "zod";
import { DataFormatError } from "./errors.ts";

/** Parses and checks JSON text; the only place of the project that calls JSON.parse on data.
 *  @throws DataFormatError with source, field path and what was found. */
export function parseJson<T>(text: string, schema: z.ZodType<T>, source: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new DataFormatError({
      source,
      path: "",
      problem: `not valid JSON (${text.length} characters): ${cause instanceof Error ? cause.message : String(cause)}`,
      fix: "the file may be cut off or edited: get it again",
      cause,
    });
  }
  return parseValue(value, schema, source);
}

/** Checks a value that was parsed elsewhere. @throws DataFormatError */
export function parseValue<T>(value: unknown, schema: z.ZodType<T>, source: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new DataFormatError({
    source,
    path: issue?.path.map(String).join(".") ?? "",
    problem: issue?.message ?? "does not match the schema",
    fix: "compare the field with the documented format",
    cause: result.error,
  });
}
