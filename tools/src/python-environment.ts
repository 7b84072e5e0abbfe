import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { prepareEngine } from "@memory-r1/engine";
import { ConfigError } from "@memory-r1/spec";
import { lock } from "proper-lockfile";
import { repositoryRoot } from "./repository.ts";
import { runCommand } from "./run-command.ts";

/** The Python package of this repository; its tools read their settings there. */
export const pythonPackageDirectory = join(repositoryRoot, "packages", "engine-torch");

/** Where everything is there already, there is nothing to say. */
const quietMs = 2000;

/**
 * Makes the engine ready (environment and models) and adds what its developers need: pytest, ruff, mypy.
 * Minutes the first time, under a second afterwards.
 * @param write takes one line of progress.
 * @returns the path of the environment's Python.
 * @throws ConfigError whose message names the fix.
 */
export async function preparePython(write: (line: string) => void): Promise<string> {
  const startMs = performance.now();
  const report = (line: string): void => {
    if (performance.now() - startMs > quietMs) write(line);
  };
  const { python, environmentDirectory } = await prepareEngine({
    logger: { info: report, warn: report },
    onProgress: ({ message }) => {
      report(message);
    },
  });
  const requirements = join(pythonPackageDirectory, "requirements-dev.txt");
  const hash = createHash("sha256").update(readFileSync(requirements)).digest("hex").slice(0, 16);
  const marker = join(environmentDirectory, `developer-tools-${hash}`);
  if (existsSync(marker)) return python;

  const release = await lock(environmentDirectory, {
    lockfilePath: `${environmentDirectory}.developer-tools.lock`,
    retries: { retries: 600, factor: 1, minTimeout: 1000, maxTimeout: 1000 },
  });
  try {
    if (existsSync(marker)) return python;
    report("installing pytest, ruff and mypy");
    const pip = [
      "-m",
      "pip",
      "install",
      "--disable-pip-version-check",
      "--quiet",
      "-r",
      requirements,
    ];
    const { exitCode, output } = await runCommand(python, pip, {
      directory: pythonPackageDirectory,
      environment: process.env,
      output: "capture",
    });
    if (exitCode !== 0) {
      throw new ConfigError(
        `pip could not install ${requirements}: ${output.trim().split("\n").slice(-5).join("\n")}\n` +
          "Check the network connection and pip's settings, then run the same command again.",
      );
    }
    writeFileSync(`${marker}.new`, "");
    renameSync(`${marker}.new`, marker);
    return python;
  } finally {
    await release();
  }
}
