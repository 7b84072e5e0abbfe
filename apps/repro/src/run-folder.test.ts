import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "@memory-r1/spec";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { chooseRunId, ensureWritableFolder, findRun, formatRunTime } from "./run-folder.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "memory-r1-runs-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const now = new Date(2025, 0, 2, 3, 4, 5);

describe("chooseRunId", () => {
  const choose = (experimentName: string, givenId?: string) =>
    chooseRunId({ experimentName, givenId, runsDirectory: folder, now });

  it("is the experiment and the local time", () => {
    expect(formatRunTime(now)).toBe("20250102-030405");
    expect(choose("demo")).toBe("demo-20250102-030405");
  });

  it("tells runs of one second apart", async () => {
    await mkdir(join(folder, "demo-20250102-030405"));
    expect(choose("demo")).toBe("demo-20250102-030405-2");
    await mkdir(join(folder, "demo-20250102-030405-2"));
    expect(choose("demo")).toBe("demo-20250102-030405-3");
  });

  it("takes the id given, unless it is taken or no folder name", async () => {
    expect(choose("demo", "mine.v2")).toBe("mine.v2");
    await mkdir(join(folder, "mine.v2"));
    expect(() => choose("demo", "mine.v2")).toThrow(/repro resume mine\.v2/);
    for (const id of ["../x", "a/b", "", ".hidden", "a b"])
      expect(() => choose("demo", id)).toThrow(ConfigError);
  });
});

describe("findRun", () => {
  const find = (run: string) =>
    findRun({ run, runsDirectory: folder, callerDirectory: join(folder, "..") });

  it("finds a run by its id and by its path", async () => {
    await mkdir(join(folder, "demo-1"));
    const location = { runId: "demo-1", runDirectory: join(folder, "demo-1") };
    expect(await find("demo-1")).toEqual(location);
    expect(await find(join(folder, "demo-1"))).toEqual(location);
    expect(await find(`./${folder.split("/").at(-1)}/demo-1/`)).toEqual(location);
  });

  it("names the latest runs where there is no such one", async () => {
    await expect(find("demo-9")).rejects.toThrow(/holds no runs/);
    for (const id of ["a-1", "a-2", "a-3", "a-4", "a-5", "a-6"]) await mkdir(join(folder, id));
    await writeFile(join(folder, "z-file"), "");
    await expect(find("a-9")).rejects.toThrow(/Latest runs there: a-6, a-5, a-4, a-3, a-2\./);
    await expect(find("")).rejects.toThrow(ConfigError);
  });
});

describe("ensureWritableFolder", () => {
  it("makes the folder and leaves nothing in it", async () => {
    await ensureWritableFolder(join(folder, "a", "b"), "");
    expect(await readdir(join(folder, "a", "b"))).toEqual([]);
  });

  it("names the folder, the reason and what to do", async () => {
    await writeFile(join(folder, "file"), "");
    await expect(ensureWritableFolder(join(folder, "file"), "Choose another.")).rejects.toThrow(
      `${join(folder, "file")}: cannot write there (a file is in the way). Choose another.`,
    );
    await expect(ensureWritableFolder(join(folder, "file", "below"), "")).rejects.toThrow(
      /a file is in the way/,
    );
  });
});
