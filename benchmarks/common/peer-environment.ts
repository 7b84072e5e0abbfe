import { spawn } from "node:child_process";
import { once } from "node:events";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, rm, writeFile } from "node:fs/promises";
import { arch, platform } from "node:os";
import { join } from "node:path";
import { ConfigError } from "@memory-r1/spec";

/**
 * The Python of a virtual environment that holds a peer to compare with, installed where it is missing (once for each
 * content of the requirements). One run at a time.
 * @param options.name of the environment, in its folder's name.
 * @param options.requirements pip's file with the peer and exact versions.
 * @param options.python a Python to make the environment with.
 * @throws ConfigError where venv or pip fails, with their last lines.
 */
export async function preparePeerEnvironment(options: {
  readonly name: string;
  readonly requirements: string;
  readonly cacheDirectory: string;
  readonly python: string;
  readonly pythonVersion: string;
  readonly write: (line: string) => void;
}): Promise<string> {
  const content = await readFile(options.requirements, "utf8");
  const key = createHash("sha256")
    .update(JSON.stringify([content, options.pythonVersion, platform(), arch()]))
    .digest("hex")
    .slice(0, 16);
  const directory = join(options.cacheDirectory, "benchmarks", `${options.name}-${key}`);
  const python = join(directory, "bin", "python");
  // Written last: a folder without it is what an interrupted installation left.
  const marker = join(directory, "installed");
  if (existsSync(marker)) return python;

  options.write(`installing ${options.requirements} into ${directory} (once)`);
  await rm(directory, { recursive: true, force: true });
  await runOrThrow(options.python, ["-m", "venv", directory]);
  const pip = ["-m", "pip", "install", "--disable-pip-version-check", "--quiet"];
  await runOrThrow(python, [...pip, "--requirement", options.requirements]);
  await writeFile(marker, "");
  return python;
}

async function runOrThrow(command: string, commandArguments: readonly string[]): Promise<void> {
  const child = spawn(command, commandArguments, { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const collect = (chunk: Buffer): void => {
    output = (output + chunk.toString("utf8")).slice(-2000);
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  await once(child, "close");
  if (child.exitCode !== 0) {
    throw new ConfigError(
      `${command} ${commandArguments.join(" ")} failed:\n${output.trim()}\n` +
        "Check the network, pip's settings and free disk space, then run the same command again.",
    );
  }
}
