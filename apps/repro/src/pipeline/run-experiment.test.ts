import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { ConfigError, ResumeMismatchError } from "@memory-r1/spec";
import { beforeEach, describe, expect, it } from "vitest";
import { type Override, resolveExperiment } from "../experiment.ts";
import { writeCompiledExperiment } from "./__fixtures__/compiled-experiment.ts";
import { createSilentContext } from "./__fixtures__/silent-context.ts";
import { useTemporaryFolder } from "./__fixtures__/temporary-folder.ts";
import { tinyExperiment } from "./__fixtures__/tiny-experiment.ts";
import { writeRunConfig } from "./run-config.ts";
import { resumeExperiment, runExperiment } from "./run-experiment.ts";

// What ends before an engine is started. Whole runs: end-to-end.test.ts.

const pathOf = useTemporaryFolder();
const context = () => createSilentContext(pathOf("."));

beforeEach(() => writeCompiledExperiment(pathOf("."), "tiny", tinyExperiment));

const run = (experimentName: string, ...overrides: readonly Override[]) =>
  runExperiment({
    experimentName,
    overrides,
    runDirectory: pathOf("run"),
    runId: "run",
    context: context(),
  });

describe("runExperiment", () => {
  it.each<[name: string, override: Override, problem: string]>([
    ["tyni", ["seed", "1"], 'There is no experiment "tyni". Experiments of benchmarks/: tiny.'],
    ["tiny", ["sead", "1"], '"sead"'],
    ["tiny", ["dataset", "locomo-maxi"], 'There is no data set "locomo-maxi". Known: locomo'],
    ["tiny", ["evaluation.categoryNaming", "zep"], 'There is no category naming "zep"'],
    ["tiny", ["training.0.reward", "f2"], 'There is no metric "f2"'],
    ["tiny", ["dataset", "jsonl"], "give the folder that holds conversations.jsonl"],
    ["tiny", ["evaluation.arms.0.context", "other-conversation"], "leave the arm out"],
  ])("leaves no folder where %s with %j cannot be run", async (name, override, problem) => {
    const failed = run(name, override);
    await expect(failed).rejects.toThrow(ConfigError);
    await expect(failed).rejects.toThrow(problem);
    expect(existsSync(pathOf("run"))).toBe(false);
  });
});

describe("resumeExperiment", () => {
  const resume = (...overrides: readonly Override[]) =>
    resumeExperiment({ runDirectory: pathOf("run"), overrides, context: context() });
  const writeConfig = () =>
    writeRunConfig(pathOf("run"), {
      schemaVersion: 1,
      runId: "run",
      command: "repro run tiny",
      startedAt: "2025-01-02T03:04:05.000Z",
      code: { commit: null, dirty: false },
      datasetSha256: "0".repeat(64),
      resumed: [],
      experiment: resolveExperiment(tinyExperiment),
    });

  it("refuses a folder in which no run has begun", async () => {
    await mkdir(pathOf("run"));
    await expect(resume()).rejects.toThrow(ResumeMismatchError);
  });

  it("refuses to go on with other data", async () => {
    await writeConfig();
    const resumed = resume();
    await expect(resumed).rejects.toThrow(ResumeMismatchError);
    await expect(resumed).rejects.toThrow(`the run was started with ${"0".repeat(64)}`);
    await expect(resumed).rejects.toThrow("--data-dir");
  });

  it.each<[override: Override, problem: string]>([
    [["training.0.steps", "2"], "--set training.0.steps: a run that has begun"],
    [["evaluation.mainMetric", "rouge-9"], "evaluation.mainMetric must be one of"],
    [["evaluation.metrics", '["squad-f1","f2"]'], 'There is no metric "f2"'],
  ])("refuses to change %j of what has begun", async (override, problem) => {
    await writeConfig();
    const resumed = resume(override);
    await expect(resumed).rejects.toThrow(ConfigError);
    await expect(resumed).rejects.toThrow(problem);
  });

  describe("with an arm that has answered", () => {
    const answer =
      '{"questionId":"q1","memories":[],"outcome":{"status":"failed","reason":"503"}}\n';
    beforeEach(async () => {
      await writeConfig();
      await mkdir(pathOf("run/predictions"), { recursive: true });
      await writeFile(pathOf("run/predictions/oracle.jsonl"), answer);
      await writeFile(pathOf("run/predictions/rag.jsonl"), "");
    });

    it.each<[override: Override]>([
      [["evaluation.arms.2.context", "none"]],
      [["evaluation.arms.2.answer", "untrained"]],
      [["evaluation.sessions", "1"]],
    ])("refuses %j, which would give it the answers of another", async (override) => {
      const resumed = resume(override);
      await expect(resumed).rejects.toThrow(ConfigError);
      await expect(resumed).rejects.toThrow('The arm "oracle" is another one now');
    });

    // They come as far as the data, which are others here.
    it.each<[override: Override]>([
      [["evaluation.arms.2.variant", "gold"]],
      [["evaluation.arms.0.answer", "trained"]],
      [["evaluation.arms.2.name", "oracle-2"]],
      [["evaluation.testSample", "3"]],
    ])("takes %j", async (override) => {
      await expect(resume(override)).rejects.toThrow(ResumeMismatchError);
    });
  });
});
