import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "@memory-r1/spec";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { pythonAnswer, writeShellScript } from "./__fixtures__/executable.ts";
import { findPython } from "./python.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "memory-r1-python-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const fakePython = (name: string, version: string, canMakeEnvironments = true): Promise<string> =>
  writeShellScript(folder, name, pythonAnswer(join(folder, name), version, canMakeEnvironments));

async function errorOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(ConfigError);
  return error instanceof Error ? error.message : "";
}

describe("findPython", () => {
  it("takes the first of the candidates that is supported", async () => {
    const candidates = [
      join(folder, "absent"),
      await fakePython("old", "3.10.14"),
      await writeShellScript(folder, "broken", "echo 'version not set' >&2; exit 1"),
      await fakePython("good", "3.12.3"),
      await fakePython("also-good", "3.11.9"),
    ];
    await expect(findPython({ candidates })).resolves.toEqual({
      executable: join(folder, "good"),
      version: "3.12.3",
    });
  });

  it.each(["3.11.0", "3.12.9", "3.13.13"])("accepts %s", async (version) => {
    await expect(findPython({ python: await fakePython("p", version) })).resolves.toMatchObject({
      version,
    });
  });

  it.each(["2.7.18", "3.9.2", "3.10.0", "3.14.0", "4.0.0"])("refuses %s", async (version) => {
    const message = await errorOf(findPython({ python: await fakePython("p", version) }));
    expect(message).toContain(`it is Python ${version}`);
    expect(message).toContain("Install Python 3.11, 3.12 or 3.13");
  });

  it("lists what was found when nothing will do", async () => {
    const old = await fakePython("old", "3.8.10");
    const broken = await writeShellScript(folder, "broken", "echo 'no such module' >&2; exit 3");
    const other = await writeShellScript(folder, "other", "echo 'I am not Python'");
    const bare = await fakePython("bare", "3.11.2", false);
    const message = await errorOf(findPython({ candidates: [old, broken, other, bare] }));
    expect(message).toContain(`${old}: it is Python 3.8.10`);
    expect(message).toContain(`${broken}: it does not run (no such module)`);
    expect(message).toContain(`${other}: it does not behave like Python 3`);
    expect(message).toContain("python3.11-venv");
  });

  it("says what it looked for when there is none", async () => {
    const message = await errorOf(findPython({ candidates: [join(folder, "absent")] }));
    expect(message).toContain("no Python was found (looked for");
    expect(message).toContain("Install Python 3.11, 3.12 or 3.13");
  });

  it("says that the one given is absent", async () => {
    const message = await errorOf(findPython({ python: join(folder, "my python") }));
    expect(message).toContain("there is no such command");
  });
});
