import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { pythonAnswer, writeShellScript } from "./__fixtures__/executable.ts";
import { locateEnvironment } from "./environment.ts";
import { inspectEngine } from "./inspect.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "memory-r1-inspect-"));
  await mkdir(join(folder, "engine", "src", "memory_r1_engine"), { recursive: true });
  await writeFile(join(folder, "engine", "requirements.txt"), "torch==1\n");
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const statuses = async (python: string, cacheDirectory = join(folder, "cache")) => {
  const findings = await inspectEngine({
    python,
    cacheDirectory,
    engineDirectory: join(folder, "engine"),
  });
  return {
    findings,
    byName: Object.fromEntries(findings.map(({ name, status }) => [name, status])),
  };
};

it("tells a fresh machine what the next run will fetch", async () => {
  const python = await writeShellScript(
    folder,
    "python",
    pythonAnswer(join(folder, "python"), "3.11.9"),
  );
  const { byName, findings } = await statuses(python);
  expect(byName).toMatchObject({
    python: "ok",
    environment: "missing",
    model: "missing",
    embedding: "missing",
  });
  expect(findings.map(({ name }) => name)).toEqual([
    "python",
    "environment",
    "model",
    "embedding",
    "disk",
    "memory",
  ]);
  for (const { status, fix } of findings) expect(fix === undefined).toBe(status === "ok");
});

it("sees an installed environment", async () => {
  const executable = await writeShellScript(
    folder,
    "python",
    pythonAnswer(join(folder, "python"), "3.11.9"),
  );
  const { directory, marker } = await locateEnvironment({
    cacheDirectory: join(folder, "cache"),
    requirements: join(folder, "engine", "requirements.txt"),
    interpreter: { executable, version: "3.11.9" },
  });
  await mkdir(directory, { recursive: true });
  await writeFile(marker, "{}");
  expect((await statuses(executable)).byName).toMatchObject({ environment: "ok", disk: "ok" });
});

it("tells what is wrong with Python and with the cache folder", async () => {
  const old = await writeShellScript(folder, "old", pythonAnswer(join(folder, "old"), "3.9.1"));
  await writeFile(join(folder, "file"), "");
  const { byName, findings } = await statuses(old, join(folder, "file", "cache"));
  expect(byName).toMatchObject({ python: "failed", environment: "failed", disk: "failed" });
  expect(findings[0]?.detail).toContain("it is Python 3.9.1");
});
