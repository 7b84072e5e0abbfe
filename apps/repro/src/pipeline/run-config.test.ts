import { readdir, writeFile } from "node:fs/promises";
import { DataFormatError, ResumeMismatchError } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { resolveExperiment } from "../experiment.ts";
import { useTemporaryFolder } from "./__fixtures__/temporary-folder.ts";
import { tinyExperiment } from "./__fixtures__/tiny-experiment.ts";
import { readRunConfig, type RunConfig, writeRunConfig } from "./run-config.ts";

const pathOf = useTemporaryFolder();

const config: RunConfig = {
  schemaVersion: 1,
  runId: "tiny-1",
  command: "npx pnpm@10.34.8 repro run tiny",
  startedAt: "2025-01-02T03:04:05.000Z",
  code: { commit: null, dirty: false },
  resumed: [],
  datasetSha256: "0".repeat(64),
  experiment: resolveExperiment(tinyExperiment),
};

describe("the configuration of a run", () => {
  it("is read as it was written, with or without what may be absent", async () => {
    const full = { ...config, dataDirectory: "/data", threads: 2 };
    for (const written of [config, full]) {
      await writeRunConfig(pathOf("run"), written);
      expect(await readRunConfig(pathOf("run"))).toEqual(written);
    }
    expect(await readdir(pathOf("run"))).toEqual(["config.json"]);
  });

  it("is missed in a folder that is no run's", async () => {
    const missing = readRunConfig(pathOf("."));
    await expect(missing).rejects.toThrow(ResumeMismatchError);
    await expect(missing).rejects.toThrow("Start it again with `repro run`");
  });

  it.each([
    ['{"schemaVersion":', "not valid JSON"],
    [JSON.stringify({ ...config, schemaVersion: 2 }), "at schemaVersion"],
    [JSON.stringify({ ...config, more: 1 }), "more"],
    [JSON.stringify({ ...config, startedAt: "yesterday" }), "at startedAt"],
  ])("is refused where it is %.40s", async (text, problem) => {
    await writeFile(pathOf("config.json"), text);
    const damaged = readRunConfig(pathOf("."));
    await expect(damaged).rejects.toThrow(DataFormatError);
    await expect(damaged).rejects.toThrow(problem);
  });
});
