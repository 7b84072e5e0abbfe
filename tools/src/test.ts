/**
 * `pnpm test [filters and options of vitest]`: every test of the repository, TypeScript and Python. The last line is
 * `N passed, N failed` over both. Exit code 1 if a test failed or none ran.
 *
 * Without arguments everything runs. With arguments only what they name: paths below packages/engine-torch go to pytest,
 * everything else to vitest.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, resolve } from "node:path";
import { HarnessError } from "@memory-r1/spec";
import { preparePython, pythonPackageDirectory } from "./python-environment.ts";
import { repositoryRoot } from "./repository.ts";
import { runCommand } from "./run-command.ts";
import {
  addTestResults,
  formatTestResults,
  parseJunitReport,
  parseVitestReport,
  type TestResults,
} from "./test-results.ts";

const oneFailure: TestResults = { passed: 0, failed: 1, skipped: [] };

async function runVitest(reportFile: string, filters: readonly string[]): Promise<TestResults> {
  const vitest = join(repositoryRoot, "node_modules", "vitest", "vitest.mjs");
  const options = [
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${reportFile}`,
  ];
  return runReported("vitest", process.execPath, [vitest, ...options, ...filters], {
    directory: repositoryRoot,
    reportFile,
    parse: parseVitestReport,
  });
}

async function runPytest(reportFile: string, paths: readonly string[]): Promise<TestResults> {
  let python: string;
  try {
    python = await prepare();
  } catch (error) {
    if (!HarnessError.isInstance(error)) throw error;
    console.error(`The Python tests could not be run. ${error.message}`);
    return oneFailure;
  }
  // Tests of tiny models take one core each. A few named ones are done before a second process has loaded torch.
  const processes = paths.length === 0 ? ["--numprocesses=2"] : [];
  const options = ["-m", "pytest", `--junitxml=${reportFile}`, ...processes, ...paths];
  return runReported("pytest", python, options, {
    directory: pythonPackageDirectory,
    reportFile,
    parse: parseJunitReport,
  });
}

async function prepare(): Promise<string> {
  return preparePython((line) => {
    console.error(line);
  });
}

async function runReported(
  name: string,
  command: string,
  commandArguments: readonly string[],
  options: {
    readonly directory: string;
    readonly reportFile: string;
    readonly parse: (text: string, source: string) => TestResults;
  },
): Promise<TestResults> {
  const { exitCode } = await runCommand(command, commandArguments, {
    directory: options.directory,
    environment: process.env,
    output: "show",
  });
  if (!existsSync(options.reportFile)) {
    console.error(
      `${name} ended with exit code ${exitCode} and wrote no report: counted as one failure.`,
    );
    return oneFailure;
  }
  const results = options.parse(readFileSync(options.reportFile, "utf8"), `report of ${name}`);
  if (exitCode === 0 || results.failed > 0) return results;
  console.error(
    `${name} ended with exit code ${exitCode} though no test failed: counted as one failure.`,
  );
  return addTestResults([results, oneFailure]);
}

const words = process.argv.slice(2).filter((word) => word !== "--");
const isPythonPath = (word: string): boolean =>
  !word.startsWith("-") && resolve(repositoryRoot, word).startsWith(pythonPackageDirectory);
const pythonPaths = words
  .filter(isPythonPath)
  .map((word) => relative(pythonPackageDirectory, resolve(repositoryRoot, word)) || ".");
const vitestFilters = words.filter((word) => !isPythonPath(word));

const reports = mkdtempSync(join(tmpdir(), "memory-r1-test-"));
try {
  const results: TestResults[] = [];
  if (words.length === 0 || pythonPaths.length > 0) {
    results.push(await runPytest(join(reports, "pytest.xml"), pythonPaths));
  }
  if (words.length === 0 || vitestFilters.length > 0) {
    results.push(await runVitest(join(reports, "vitest.json"), vitestFilters));
  }
  const sum = addTestResults(results);
  if (sum.skipped.length > 0) console.log(["Skipped:", ...sum.skipped].join("\n  "));
  console.log(formatTestResults(sum));
  process.exitCode = sum.failed === 0 && sum.passed > 0 ? 0 : 1;
} finally {
  rmSync(reports, { recursive: true });
}
