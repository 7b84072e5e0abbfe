import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { useTemporaryFolder } from "./__fixtures__/temporary-folder.ts";
import { codeVersion, machineFacts } from "./provenance.ts";

const pathOf = useTemporaryFolder();

describe("codeVersion", () => {
  it("is unknown outside a git checkout", async () => {
    expect(await codeVersion(pathOf("."))).toBeUndefined();
    expect(await codeVersion(pathOf("nowhere"))).toBeUndefined();
  });

  it("tells a clean checkout from one with changes", async () => {
    const git = (...parts: readonly string[]) =>
      execFileSync("git", ["-c", "user.name=Test", "-c", "user.email=test@example.org", ...parts], {
        cwd: pathOf("."),
        encoding: "utf8",
      });
    git("init", "--quiet");
    await writeFile(pathOf("file"), "one");
    git("add", "file");
    git("commit", "--quiet", "--message", "One file");
    const commit = git("rev-parse", "HEAD").trim();
    expect(await codeVersion(pathOf("."))).toEqual({ commit, dirty: false });
    await writeFile(pathOf("file"), "two");
    expect(await codeVersion(pathOf("."))).toEqual({ commit, dirty: true });
  });
});

describe("machineFacts", () => {
  it("has what a manifest asks for", () => {
    const { cpu, cores, memoryGiB, platform } = machineFacts();
    expect([typeof cpu, typeof platform]).toEqual(["string", "string"]);
    expect(cores).toBeGreaterThan(0);
    expect(memoryGiB).toBeGreaterThan(0);
  });
});
