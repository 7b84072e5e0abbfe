import { DataFormatError } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import {
  addTestResults,
  formatTestResults,
  parseJunitReport,
  parseVitestReport,
} from "./test-results.ts";

describe("parseVitestReport", () => {
  // Trimmed from a report of vitest 4.1.12: a file with every outcome, one that cannot be loaded, one whose hook fails.
  const report = {
    success: false,
    testResults: [
      {
        name: "/r/a.test.ts",
        status: "failed",
        message: "",
        assertionResults: [
          { fullName: "g ok", status: "passed", failureMessages: [] },
          { fullName: "g skip (no data)", status: "skipped", failureMessages: [] },
          { fullName: "g später", status: "todo", failureMessages: [] },
          { fullName: "g bad", status: "failed", failureMessages: ["AssertionError"] },
        ],
      },
      {
        name: "/r/b.test.ts",
        status: "failed",
        message: "Cannot find module",
        assertionResults: [],
      },
      {
        name: "/r/c.test.ts",
        status: "failed",
        message: "hook",
        assertionResults: [{ fullName: "x", status: "skipped", failureMessages: [] }],
      },
    ],
  };

  it("counts tests, and files that failed without a failed test", () => {
    expect(parseVitestReport(JSON.stringify(report), "report")).toEqual({
      passed: 1,
      failed: 3,
      skipped: ["g skip (no data)", "g später (to do)", "x"],
    });
  });

  it("counts nothing in an empty run", () => {
    expect(parseVitestReport('{"testResults":[]}', "report")).toEqual({
      passed: 0,
      failed: 0,
      skipped: [],
    });
  });

  it.each(["", "{", "{}", '{"testResults":[{}]}'])("refuses %j", (text) => {
    expect(() => parseVitestReport(text, "report.json")).toThrow(DataFormatError);
  });
});

describe("parseJunitReport", () => {
  // Written by pytest 8 for one passing, skipped, expected-to-fail, broken and failing test each.
  const report = `<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="2" tests="5" time="0.05">
<testcase classname="py.test_a" name="test_ok" time="0.001" />
<testcase classname="py.test_a" name="test_skip[Zoë]" time="0.000"><skipped type="pytest.skip" message="no data &lt;here&gt;">py/test_a.py:3: no data &lt;here&gt;</skipped></testcase>
<testcase classname="py.test_a" name="test_x" time="0.001"><skipped type="pytest.xfail" message="known" /></testcase>
<testcase classname="py.test_a" name="test_err" time="0.001"><error message="failed on setup">RuntimeError</error></testcase>
<testcase classname="py.test_a" name="test_bad" time="0.001"><failure message="assert 1 == 2">def test_bad()</failure></testcase>
</testsuite></testsuites>`;

  it("counts every outcome and keeps the reasons", () => {
    expect(parseJunitReport(report, "report")).toEqual({
      passed: 1,
      failed: 2,
      skipped: ["py.test_a test_skip[Zoë]: no data <here>", "py.test_a test_x: known"],
    });
  });

  it("takes a collection error for one failure", () => {
    const xml = `<testsuites><testsuite name="pytest" tests="1"><testcase classname="" name="py.test_b"><error message="collection failure">x</error></testcase></testsuite></testsuites>`;
    expect(parseJunitReport(xml, "report")).toEqual({ passed: 0, failed: 1, skipped: [] });
  });

  it("counts a test that both failed and broke once", () => {
    const xml = `<testsuites><testsuite><testcase classname="c" name="n"><failure message="a">x</failure><error message="b">y</error></testcase></testsuite></testsuites>`;
    expect(parseJunitReport(xml, "report").failed).toBe(1);
  });

  it("counts nothing in an empty run", () => {
    const xml = `<testsuites><testsuite name="pytest" tests="0"></testsuite></testsuites>`;
    expect(parseJunitReport(xml, "report")).toEqual({ passed: 0, failed: 0, skipped: [] });
  });

  it.each(["", "<testsuites", "<a/>", "plain"])("refuses %j", (text) => {
    expect(() => parseJunitReport(text, "report.xml")).toThrow(DataFormatError);
  });
});

it("adds results and writes the closing line", () => {
  const first = { passed: 2, failed: 0, skipped: [] };
  const second = { passed: 1, failed: 1, skipped: ["a", "b"] };
  expect(formatTestResults(first)).toBe("2 passed, 0 failed");
  expect(formatTestResults(addTestResults([first, second]))).toBe("3 passed, 1 failed, 2 skipped");
  expect(formatTestResults(addTestResults([]))).toBe("0 passed, 0 failed");
});
