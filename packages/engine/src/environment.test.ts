import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, silentLogger } from "@memory-r1/spec";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeShellScript } from "./__fixtures__/executable.ts";
import { installEnvironment, isEnvironmentInstalled, locateEnvironment } from "./environment.ts";
import type { SetupProgress } from "./progress.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "memory-r1-environment-"));
  await mkdir(join(folder, "engine"));
  await writeFile(join(folder, "engine", "requirements.txt"), "torch==1\n");
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** A Python whose `-m venv` makes an environment whose pip does `pip`, and which notes every call in calls.txt. */
async function fakeInterpreter(pip: string) {
  const calls = join(folder, "calls.txt");
  const inner = `#!/bin/sh\necho "pip $*" >> "${calls}"\n${pip}\n`;
  const innerFile = join(folder, "inner");
  await writeFile(innerFile, inner);
  const executable = await writeShellScript(
    folder,
    "python",
    `echo "venv $3" >> "${calls}"\nmkdir -p "$3/bin" && cp "${innerFile}" "$3/bin/python" && chmod +x "$3/bin/python"`,
  );
  return {
    calls: async () => (await readFile(calls, "utf8")).trim().split("\n"),
    options: {
      cacheDirectory: join(folder, "cache"),
      requirements: join(folder, "engine", "requirements.txt"),
      interpreter: { executable, version: "3.11.9" },
      logger: silentLogger,
    },
  };
}

describe("installEnvironment", () => {
  it("makes an environment, installs the requirements, and does nothing the second time", async () => {
    const { options, calls } = await fakeInterpreter(
      "echo 'Collecting torch==1'; echo '  noise'; echo 'Successfully installed torch'",
    );
    const said: SetupProgress[] = [];
    const first = await installEnvironment({ ...options, onProgress: (line) => said.push(line) });
    expect(said.map(({ message }) => message)).toEqual(
      expect.arrayContaining(["Collecting torch==1", "Successfully installed torch"]),
    );
    expect(said.map(({ message }) => message)).not.toContain("noise");
    await expect(isEnvironmentInstalled(options)).resolves.toBe(true);
    await expect(installEnvironment(options)).resolves.toEqual(first);
    const [venv, pip, ...more] = await calls();
    expect(venv).toBe(`venv ${first.directory}`);
    expect(pip).toMatch(/^pip -m pip install .*--requirement .*requirements\.txt$/);
    expect(more).toEqual([]);
    // The lock is gone.
    expect(await readdir(join(folder, "cache", "python"))).toHaveLength(1);
  });

  it("is done once when two start together", async () => {
    const { options, calls } = await fakeInterpreter("sleep 0.3");
    const [first, second] = await Promise.all([
      installEnvironment(options),
      installEnvironment(options),
    ]);
    expect(second).toEqual(first);
    expect(await calls()).toHaveLength(2);
  });

  it("starts over after an installation that was interrupted", async () => {
    const { options, calls } = await fakeInterpreter("true");
    const { directory } = await locateEnvironment(options);
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, "leftover"), "");
    await expect(isEnvironmentInstalled(options)).resolves.toBe(false);
    await installEnvironment(options);
    expect(await calls()).toHaveLength(2);
    expect(await readdir(directory)).not.toContain("leftover");
  });

  it("shows pip's last lines and the fix when pip fails, and tries again the next time", async () => {
    const { options } = await fakeInterpreter(
      "for i in $(seq 1 40); do echo line $i; done; echo 'ERROR: no matching distribution' >&2; exit 1",
    );
    const error = await installEnvironment(options).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ConfigError);
    const message = error instanceof Error ? error.message : "";
    expect(message).toContain("ERROR: no matching distribution");
    expect(message).toContain("line 40");
    expect(message).not.toContain("line 20\n");
    expect(message).toContain("Check the network");
    await expect(isEnvironmentInstalled(options)).resolves.toBe(false);
    const { options: mended } = await fakeInterpreter("true");
    await installEnvironment(mended);
    await expect(isEnvironmentInstalled(mended)).resolves.toBe(true);
  });

  it("has another folder for other requirements and another Python", async () => {
    const { options } = await fakeInterpreter("true");
    const before = await locateEnvironment(options);
    const otherPython = await locateEnvironment({
      ...options,
      interpreter: { ...options.interpreter, version: "3.12.1" },
    });
    await writeFile(join(folder, "engine", "requirements.txt"), "torch==2\n");
    const otherRequirements = await locateEnvironment(options);
    expect(
      new Set([before.directory, otherPython.directory, otherRequirements.directory]).size,
    ).toBe(3);
  });

  it("says that the cache folder cannot be made", async () => {
    const { options } = await fakeInterpreter("true");
    await writeFile(join(folder, "file"), "");
    const failing = installEnvironment({
      ...options,
      cacheDirectory: join(folder, "file", "cache"),
    });
    await expect(failing).rejects.toThrow(/cache folder .* cannot be made .*make it writable/s);
  });

  it("says that the checkout is incomplete", async () => {
    const { options } = await fakeInterpreter("true");
    await rm(join(folder, "engine", "requirements.txt"));
    await expect(installEnvironment(options)).rejects.toThrow(/requirements\.txt cannot be read/);
  });

  it("stops at an abort signal", async () => {
    const { options } = await fakeInterpreter("sleep 20");
    const controller = new AbortController();
    const reason = new Error("the user pressed Ctrl-C");
    setTimeout(() => controller.abort(reason), 300);
    await expect(installEnvironment({ ...options, signal: controller.signal })).rejects.toThrow(
      reason,
    );
    await expect(isEnvironmentInstalled(options)).resolves.toBe(false);
  });
});
