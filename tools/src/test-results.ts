import { DataFormatError, parseJson, parseValue } from "@memory-r1/spec";
import { XMLParser } from "fast-xml-parser";
import { z } from "zod";

/** What a run of tests came to. */
export interface TestResults {
  readonly passed: number;
  /** Tests, plus each file or fixture that broke before its tests could run. */
  readonly failed: number;
  /** One line for each test that was not run: its name, and the reason where one is known. */
  readonly skipped: readonly string[];
}

const vitestReportSchema = z.object({
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      assertionResults: z.array(
        z.object({
          fullName: z.string(),
          status: z.enum(["passed", "failed", "skipped", "pending", "todo", "disabled"]),
        }),
      ),
    }),
  ),
});

/**
 * Reads the report of vitest's `json` reporter. A file that failed without a failed test (it could not be loaded,
 * or a hook broke) counts as one failure.
 * @throws DataFormatError
 */
export function parseVitestReport(text: string, source: string): TestResults {
  const files = parseJson(text, vitestReportSchema, source).testResults;
  const tests = files.flatMap((file) => file.assertionResults);
  const count = (status: string): number => tests.filter((test) => test.status === status).length;
  const brokenFiles = files.filter(
    (file) =>
      file.status === "failed" && file.assertionResults.every(({ status }) => status !== "failed"),
  );
  return {
    passed: count("passed"),
    failed: count("failed") + brokenFiles.length,
    // The reason is part of the name: see CONTRIBUTING.md.
    skipped: tests
      .filter(({ status }) => status !== "passed" && status !== "failed")
      .map(({ fullName, status }) => (status === "todo" ? `${fullName} (to do)` : fullName)),
  };
}

const outcomeSchema = z.union([z.string(), z.object({ message: z.string().optional() })]);
const junitSchema = z.object({
  testsuites: z.object({
    testsuite: z.array(
      z.object({
        testcase: z
          .array(
            z.object({
              classname: z.string(),
              name: z.string(),
              failure: outcomeSchema.optional(),
              error: outcomeSchema.optional(),
              skipped: outcomeSchema.optional(),
            }),
          )
          .default([]),
      }),
    ),
  }),
});

/**
 * Reads pytest's JUnit report. An error outside a test (collection, fixture) counts as a failure.
 * @throws DataFormatError
 */
export function parseJunitReport(text: string, source: string): TestResults {
  const suites = parseValue(parseXml(text, source), junitSchema, source).testsuites.testsuite;
  const cases = suites.flatMap((suite) => suite.testcase);
  const failed = cases.filter((test) => test.failure !== undefined || test.error !== undefined);
  const skipped = cases.filter((test) => test.skipped !== undefined && !failed.includes(test));
  return {
    passed: cases.length - failed.length - skipped.length,
    failed: failed.length,
    skipped: skipped.map(({ classname, name, skipped: outcome }) => {
      const reason = typeof outcome === "object" ? outcome.message : undefined;
      return `${classname} ${name}${reason === undefined ? "" : `: ${reason}`}`;
    }),
  };
}

function parseXml(text: string, source: string): unknown {
  const parser = new XMLParser({
    ignoreAttributes: false,
    attributeNamePrefix: "",
    parseAttributeValue: false,
    parseTagValue: false,
    isArray: (name) => name === "testsuite" || name === "testcase",
  });
  try {
    // The parser's result is typed as any; the schema of the caller decides what it is.
    const value: unknown = parser.parse(text);
    return value;
  } catch (cause) {
    throw new DataFormatError({
      source,
      path: "",
      problem: "not valid XML",
      fix: "look for an error of pytest above",
      cause,
    });
  }
}

/** Sums over several runs. */
export function addTestResults(results: readonly TestResults[]): TestResults {
  return {
    passed: results.reduce((sum, { passed }) => sum + passed, 0),
    failed: results.reduce((sum, { failed }) => sum + failed, 0),
    skipped: results.flatMap(({ skipped }) => skipped),
  };
}

/** The last line of a test run: `12 passed, 0 failed`, with `, 3 skipped` where there are any. */
export function formatTestResults({ passed, failed, skipped }: TestResults): string {
  const skippedPart = skipped.length === 0 ? "" : `, ${skipped.length} skipped`;
  return `${passed} passed, ${failed} failed${skippedPart}`;
}
