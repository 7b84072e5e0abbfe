import { DataFormatError } from "@memory-r1/spec";
import { closest, distance } from "fastest-levenshtein";
import { z } from "zod";
import type { DatasetFault } from "../dataset-definition.ts";
import type { BytesPlace } from "./read-json.ts";

const longestValue = 80;
const longestName = 200;

/** A value as JSON, cut to a readable length; empty where there is none. */
export function describeValue(value: unknown): string {
  if (value === undefined) return "";
  return cutText(JSON.stringify(value));
}

/** A text for one line of a report. */
export function cutText(text: string): string {
  return text.length <= longestValue ? text : `${text.slice(0, longestValue - 1)}…`;
}

/** The name that somebody who wrote `name` may have meant; undefined where none is near. */
export function nearestName(name: string, names: readonly string[]): string | undefined {
  // The distance takes time in the product of both lengths, and nobody mistypes a whole text.
  if (names.length === 0 || name.length > longestName) return undefined;
  const nearest = closest(
    name.toLowerCase(),
    names.map((one) => one.toLowerCase()),
  );
  const isNear = distance(name.toLowerCase(), nearest) <= Math.max(1, Math.floor(name.length / 2));
  return isNear ? names.find((one) => one.toLowerCase() === nearest) : undefined;
}

/** One fault for each issue of a schema, with what stands at the place and what should. */
export function faultsOfIssues(options: {
  readonly issues: readonly z.core.$ZodIssue[];
  /** What was checked. */
  readonly value: unknown;
  readonly schema: z.ZodType;
  readonly place: BytesPlace;
  /** Path of what was checked in its file. */
  readonly path?: readonly PropertyKey[];
}): DatasetFault[] {
  const { value, place, path = [] } = options;
  return options.issues.flatMap((issue): DatasetFault[] => {
    const found = valueAt(value, issue.path);
    const fieldOf = (...more: readonly PropertyKey[]): string =>
      [...path, ...issue.path, ...more].map(String).join(".");
    if (issue.code === "unrecognized_keys") {
      const known = keysAt(options.schema, issue.path);
      return issue.keys.map((key) => ({
        ...place,
        field: fieldOf(key),
        value: describeValue(valueAt(found, [key])),
        problem: "is no key of this format",
        fix: fixOfUnknownKey(key, known),
      }));
    }
    const isMissing = issue.code === "invalid_type" && found === undefined;
    return [
      {
        ...place,
        field: fieldOf(),
        value: describeValue(found),
        problem: isMissing ? "is missing" : problemOf(issue, found),
        fix: isMissing ? `add it: ${expectation(issue)}` : fixOf(issue),
      },
    ];
  });
}

/** The first fault as an error that says how many more there are. */
export function faultError(faults: readonly [DatasetFault, ...DatasetFault[]]): DataFormatError {
  const [{ file, line, field, value, problem, fix }] = faults;
  const more = faults.length - 1;
  return new DataFormatError({
    source: line === undefined ? file : `${file}, line ${line}`,
    path: field,
    problem: value === "" ? problem : `${problem} (found ${value})`,
    fix:
      more === 0
        ? fix
        : `${fix} (${more} more ${more === 1 ? "fault" : "faults"}: see all with \`repro datasets verify\`)`,
  });
}

function fixOfUnknownKey(key: string, known: readonly string[]): string {
  const near = nearestName(key, known);
  if (near !== undefined) return `did you mean "${near}"?`;
  return `remove it; known here: ${known.join(", ")}`;
}

const typeNames: Readonly<Record<string, string>> = {
  string: "text",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  tuple: "a list",
  object: "an object",
  record: "an object",
  null: "null",
};

function expectation(issue: z.core.$ZodIssue): string {
  if (issue.code !== "invalid_type") return issue.message;
  return typeNames[issue.expected] ?? issue.expected;
}

function problemOf(issue: z.core.$ZodIssue, found: unknown): string {
  return issue.code === "invalid_type"
    ? `is ${typeName(found)}, must be ${expectation(issue)}`
    : issue.message;
}

function fixOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return `write ${expectation(issue)}`;
    case "invalid_value":
      return `write one of ${issue.values.map((value) => String(value)).join(", ")}`;
    default:
      return "give the field the documented form";
  }
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "a list";
  return typeNames[typeof value] ?? typeof value;
}

/** What stands at a path; undefined where nothing does. */
export function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>(
    (inner, key) =>
      typeof inner === "object" && inner !== null && Object.hasOwn(inner, key)
        ? Reflect.get(inner, key)
        : undefined,
    value,
  );
}

/** The keys that a schema's object at a path knows. */
function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  const at = path.reduce<z.core.JSONSchema.BaseSchema | undefined>(
    (inner, key) => {
      const next = typeof key === "number" ? inner?.items : inner?.properties?.[String(key)];
      return typeof next === "object" && !Array.isArray(next) ? next : undefined;
    },
    z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }),
  );
  return Object.keys(at?.properties ?? {});
}
