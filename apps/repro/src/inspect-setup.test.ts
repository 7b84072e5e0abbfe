import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "@memory-r1/spec";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createScriptedShell } from "./__fixtures__/scripted-shell.ts";
import { checkNodeVersion, checkPnpm } from "./doctor-checks.ts";
import { inspectSetup } from "./inspect-setup.ts";
import { readProjectFacts } from "./project-facts.ts";
import { findRepositoryRoot } from "./repository-root.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "memory-r1-doctor-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("single checks", () => {
  it("compares Node.js versions by number", () => {
    expect(checkNodeVersion("v20.19.0", "20.19").status).toBe("ok");
    expect(checkNodeVersion("v24.1.0", "20.19").status).toBe("ok");
    expect(checkNodeVersion("v20.9.0", "20.19")).toMatchObject({
      status: "failed",
      neededByDemo: true,
    });
    expect(checkNodeVersion("v18.20.0", "20.19").fix).toBe("install Node.js 20.19 or newer");
  });

  it("never lets pnpm stand in the demo's way", () => {
    expect(checkPnpm("10.34.8", "10.34.8").status).toBe("ok");
    expect(checkPnpm("9.0.0", "10.34.8")).toMatchObject({ status: "failed", neededByDemo: false });
    expect(checkPnpm(undefined, "10.34.8").fix).toBe("start with npx pnpm@10.34.8 repro");
  });
});

describe("inspectSetup", () => {
  const inspect = async (findLocomo: () => Promise<string>) => {
    const findings = await inspectSetup({
      environment: createScriptedShell(folder).environment,
      repositoryRoot: folder,
      project: { version: "0", minimumNodeVersion: "20.19", pnpmVersion: "10.34.8" },
      nodeVersion: "v20.20.2",
      inspectEngine: () =>
        Promise.resolve([
          { name: "python", status: "failed", detail: "none", fix: "install Python 3.11" },
        ]),
      findLocomo,
    });
    return new Map(findings.map((finding) => [finding.name, finding]));
  };

  it("has the engine's findings among its own, in the order of a run", async () => {
    const findings = await inspect(() => Promise.resolve("/data/locomo10.json"));
    expect([...findings.keys()]).toEqual(["node", "pnpm", "python", "runs", "locomo"]);
    expect(findings.get("python")).toMatchObject({
      status: "failed",
      neededByDemo: true,
      fix: "install Python 3.11",
    });
    expect(findings.get("locomo")).toMatchObject({ status: "ok", detail: "/data/locomo10.json" });
    expect(findings.get("runs")).toMatchObject({ status: "ok", detail: join(folder, "runs") });
  });

  it("finds that LoCoMo is not there and that the runs' folder cannot be written to", async () => {
    await writeFile(join(folder, "runs"), "a file");
    const findings = await inspect(() => Promise.reject(new ConfigError("LoCoMo is not there")));
    expect(findings.get("locomo")).toMatchObject({ status: "missing", neededByDemo: false });
    expect(findings.get("runs")).toMatchObject({ status: "failed", neededByDemo: true });
  });
});

describe("the repository", () => {
  it("is found from this file and says its versions", async () => {
    const facts = await readProjectFacts(findRepositoryRoot(import.meta.url));
    expect(checkNodeVersion(process.version, facts.minimumNodeVersion).status).toBe("ok");
    expect(facts.pnpmVersion).toMatch(/^\d+\.\d+\.\d+$/);
  });

  it("is not found outside a clone", () => {
    expect(() => findRepositoryRoot("file:///main.js")).toThrow(/Clone it/);
  });
});
