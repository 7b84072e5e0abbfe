import { describe, expect, it } from "vitest";
import { z } from "zod";
import type { DatasetFault } from "../dataset-definition.ts";
import { describeValue, faultError, faultsOfIssues, nearestName } from "./faults.ts";

const schema = z.strictObject({
  id: z.string().regex(/\S/, "is empty"),
  size: z.int().optional(),
  items: z.array(z.strictObject({ kind: z.enum(["big", "small"]) })),
});

function faultsOf(value: unknown): string[] {
  const result = schema.safeParse(value);
  if (result.success) return [];
  const { issues } = result.error;
  return faultsOfIssues({ issues, value, schema, place: { file: "f", line: 2 }, path: ["at"] }).map(
    ({ field, value: found, problem, fix }) => [field, found, problem, fix].join(" | "),
  );
}

describe("faultsOfIssues", () => {
  it("gives field, value, problem and fix of every issue at once", () => {
    expect(
      faultsOf({
        ID: "x",
        id: " ",
        size: "3",
        items: [{ kind: "bigg" }, { kind: "big", knd: 1, zzz: 2 }, 5],
      }),
    ).toEqual([
      'at.id | " " | is empty | give the field the documented form',
      'at.size | "3" | is text, must be a number | write a number',
      'at.items.0.kind | "bigg" | Invalid option: expected one of "big"|"small" | write one of big, small',
      'at.items.1.knd | 1 | is no key of this format | did you mean "kind"?',
      "at.items.1.zzz | 2 | is no key of this format | remove it; known here: kind",
      "at.items.2 | 5 | is a number, must be an object | write an object",
      'at.ID | "x" | is no key of this format | did you mean "id"?',
    ]);
  });

  it("tells what is missing from what is wrong", () => {
    expect(faultsOf({ id: null })).toEqual([
      "at.id | null | is null, must be text | write text",
      "at.items |  | is missing | add it: a list",
    ]);
  });
});

describe("faultError", () => {
  const fault: DatasetFault = {
    file: "f",
    line: 3,
    field: "a.b",
    value: "5",
    problem: "is a number",
    fix: "write text",
  };
  const { line: _, ...ofFile } = fault;

  it("names file, line, field, value, problem and fix, and how many more there are", () => {
    expect(faultError([fault]).message).toBe(
      "f, line 3, at a.b: is a number (found 5). What to do: write text.",
    );
    expect(faultError([ofFile, fault]).message).toContain("f, at a.b: is a number (found 5)");
    expect(faultError([fault, fault]).message).toContain("(1 more fault: see all with");
    expect(faultError([{ ...ofFile, field: "", value: "" }]).message).toMatch(/^f: is a number\. /);
  });
});

it("cuts long values", () => {
  expect(describeValue("x".repeat(500))).toHaveLength(80);
  expect(describeValue(undefined)).toBe("");
  expect(describeValue({ a: [1] })).toBe('{"a":[1]}');
});

it("guesses a name that is near, and none that is not", () => {
  expect(nearestName("spekaer", ["text", "speaker"])).toBe("speaker");
  expect(nearestName("Text", ["text", "speaker"])).toBe("text");
  expect(nearestName("mood", ["text", "speaker"])).toBeUndefined();
  expect(nearestName("mood", [])).toBeUndefined();
  expect(nearestName("text".repeat(100_000), ["text".repeat(100_000)])).toBeUndefined();
});
