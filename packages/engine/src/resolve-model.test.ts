import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, DataFormatError } from "@memory-r1/spec";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeShellScript } from "./__fixtures__/executable.ts";
import { recallModel, resolveModel } from "./resolve-model.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "memory-r1-resolve-"));
  await mkdir(join(folder, "engine", "src", "memory_r1_engine"), { recursive: true });
  await writeFile(join(folder, "engine", "src", "memory_r1_engine", "models.py"), "# 1\n");
  await mkdir(join(folder, "model"));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const answer = () => ({
  name: "tiny",
  directory: join(folder, "model"),
  revision: "r1",
  source: "hub",
});

/** Options with a Python that notes each call and then does `body`. */
async function withResolver(body: string, name = "tiny") {
  const calls = join(folder, "calls.txt");
  await writeFile(calls, "");
  const python = await writeShellScript(folder, "python", `echo "$*" >> "${calls}"\n${body}`);
  return {
    calls: async () => (await readFile(calls, "utf8")).split("\n").filter((line) => line !== ""),
    options: {
      name,
      python,
      cacheDirectory: join(folder, "cache"),
      engineDirectory: join(folder, "engine"),
    },
  };
}

describe("resolveModel", () => {
  it("asks Python once, passes on what it says, and remembers the answer", async () => {
    const { options, calls } = await withResolver(
      `echo 'downloading 93 MB' >&2; echo '${JSON.stringify(answer())}'`,
    );
    const lines: string[] = [];
    await expect(resolveModel({ ...options, onLine: (line) => lines.push(line) })).resolves.toEqual(
      answer(),
    );
    expect(lines).toEqual(["downloading 93 MB"]);
    await expect(resolveModel(options)).resolves.toEqual(answer());
    await expect(recallModel(options)).resolves.toEqual(answer());
    expect(await calls()).toEqual([
      `-m memory_r1_engine.models resolve tiny --cache-dir ${join(folder, "cache")}`,
    ]);
  });

  it("asks again when the files are gone and when the engine's code has changed", async () => {
    const { options, calls } = await withResolver(`echo '${JSON.stringify(answer())}'`);
    await resolveModel(options);
    await rm(join(folder, "model"), { recursive: true });
    await expect(recallModel(options)).resolves.toBeUndefined();
    await mkdir(join(folder, "model"));
    await writeFile(join(folder, "engine", "src", "memory_r1_engine", "models.py"), "# 2\n");
    await resolveModel(options);
    expect(await calls()).toHaveLength(2);
  });

  it("never remembers a folder of the user, whose content may change", async () => {
    const { options, calls } = await withResolver(
      `echo '${JSON.stringify(answer())}'`,
      join(folder, "model"),
    );
    await resolveModel(options);
    await resolveModel(options);
    expect(await calls()).toHaveLength(2);
  });

  it("shows the resolver's own sentence when no source has the model", async () => {
    const { options } = await withResolver(
      "echo 'looking on the hub' >&2; echo 'no model \"tiny\": name a folder or a hub id' >&2; exit 2",
    );
    const error = await resolveModel(options).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ConfigError);
    expect(error).toMatchObject({ message: 'no model "tiny": name a folder or a hub id' });
  });

  it("shows the last lines when the resolver breaks down", async () => {
    const { options } = await withResolver("echo 'Traceback: MemoryError' >&2; exit 1");
    await expect(resolveModel(options)).rejects.toThrow(/exit code 1.*Traceback: MemoryError/s);
  });

  it("refuses an answer of another form", async () => {
    const { options } = await withResolver("echo '{\"name\": 1}'");
    await expect(resolveModel(options)).rejects.toBeInstanceOf(DataFormatError);
  });
});
