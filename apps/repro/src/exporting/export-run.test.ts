import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { sha256Of, writeResult } from "@memory-r1/report";
import { ConfigError, DataIntegrityError, parseJson } from "@memory-r1/spec";
import { beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { createScriptedShell, sampleResult } from "../__fixtures__/scripted-shell.ts";
import { createExportHandler } from "../commands/export.ts";
import { resolveExperiment } from "../experiment.ts";
import { tinyExperiment } from "../pipeline/__fixtures__/tiny-experiment.ts";
import { useTemporaryFolder } from "../pipeline/__fixtures__/temporary-folder.ts";
import { writeRunConfig } from "../pipeline/run-config.ts";
import { writeRunResult } from "../run-result.ts";
import { embeddedModelIds, hubIdOf } from "./base-model-id.ts";
import { exportRun } from "./export-run.ts";

const pathOf = useTemporaryFolder();
const commit = "0123456789abcdef0123456789abcdef01234567";
const datasetSha256 = "a".repeat(64);
const weights = "weights of the manager";

const checkpoint = (name: string): string =>
  pathOf("run", "checkpoints", "model_1", "sampler_weights", name);

/** A finished run of two stages, the first of which has its checkpoint; the engine's files stand for themselves. */
async function writeRun(modelName = "smollm2-135m-instruct", source = "hf"): Promise<void> {
  const runDirectory = pathOf("run");
  const code = { commit, dirty: false };
  const experiment = resolveExperiment({ ...tinyExperiment, model: { name: modelName } });
  await mkdir(runDirectory, { recursive: true });
  await writeRunConfig(runDirectory, {
    schemaVersion: 1,
    runId: "run",
    command: "pnpm repro run tiny",
    startedAt: "2025-01-02T03:04:05Z",
    code,
    datasetSha256,
    resumed: [],
    experiment,
  });
  await writeResult({
    directory: runDirectory,
    files: {},
    manifestName: "manifest.json",
    manifest: {
      schemaVersion: 1,
      experiment: "tiny",
      command: "pnpm repro run tiny",
      code,
      createdAt: "2025-01-02T03:04:05.000Z",
      configuration: { lora: { rank: 4 }, model: { name: modelName } },
      dataset: { name: "locomo-mini", sha256: datasetSha256 },
      prompts: {},
      models: [
        { role: "embedding", name: "e", revision: "pypi:e", source: "pypi" },
        { role: "policy and reader", name: modelName, revision: `hf:${commit}`, source },
      ],
      seeds: { run: 7 },
      versions: { node: "20.19.0", engine: "0.1.0" },
      machine: { cpu: "any", cores: 2, memoryGiB: 24, platform: "linux" },
      durationSeconds: 3,
    },
  });
  await writeRunResult(sampleResult(runDirectory, "run"));
  for (const [stage, bestStep] of [
    ["reader", 2],
    ["manager", 0],
  ] as const) {
    await mkdir(join(runDirectory, "training", stage), { recursive: true });
    await writeFile(
      join(runDirectory, "training", stage, "trained.json"),
      JSON.stringify({
        samplerPath: `memory-r1://model_1/sampler_weights/${stage}`,
        bestStep,
        bestScore: 0.625,
        healthy: true,
      }),
    );
    await mkdir(checkpoint(stage), { recursive: true });
    const config = JSON.stringify({
      peft_type: "LORA",
      r: 4,
      base_model_name_or_path: "/home/somebody/.cache/model",
    });
    await writeFile(join(checkpoint(stage), "adapter_model.safetensors"), weights);
    await writeFile(join(checkpoint(stage), "adapter_config.json"), config);
    await writeFile(
      join(checkpoint(stage), "SHA256SUMS"),
      `${sha256Of(config)}  adapter_config.json\n${sha256Of(weights)}  adapter_model.safetensors\n`,
    );
  }
}

const request = (more: Partial<Parameters<typeof exportRun>[0]> = {}) =>
  exportRun({
    runDirectory: pathOf("run"),
    outDirectory: pathOf("out"),
    stage: undefined,
    baseModelId: undefined,
    ...more,
  });

describe("exportRun", () => {
  beforeEach(() => writeRun());

  it("copies each stage's adapter into a folder of PEFT's form that stands alone", async () => {
    const exported = await request();
    expect(exported.map(({ stage, directory }) => [stage, directory])).toEqual([
      ["reader", pathOf("out", "reader")],
      ["manager", pathOf("out", "manager")],
    ]);
    expect(await readdir(pathOf("out"))).toEqual(["manager", "reader"]);
    const folder = pathOf("out", "manager");
    expect((await readdir(folder)).sort()).toEqual([
      "README.md",
      "adapter_config.json",
      "adapter_model.safetensors",
      "manifest.json",
    ]);
    expect(await readFile(join(folder, "adapter_model.safetensors"), "utf8")).toBe(weights);
    const file = join(folder, "adapter_config.json");
    expect(parseJson(await readFile(file, "utf8"), z.unknown(), file)).toEqual({
      peft_type: "LORA",
      r: 4,
      base_model_name_or_path: "HuggingFaceTB/SmolLM2-135M-Instruct",
      revision: commit,
    });
    expect(await readFile(join(folder, "manifest.json"))).toEqual(
      await readFile(pathOf("run", "manifest.json")),
    );
  });

  it("writes a model card that carries the manifest", async () => {
    await request({ stage: "reader" });
    expect(await readdir(pathOf("out"))).toEqual(["reader"]);
    const card = await readFile(pathOf("out", "reader", "README.md"), "utf8");
    expect(card.split("\n").slice(0, 5)).toEqual([
      "---",
      "base_model: HuggingFaceTB/SmolLM2-135M-Instruct",
      "library_name: peft",
      "pipeline_tag: text-generation",
      "tags:",
    ]);
    for (const text of [
      "# Answer Agent of Memory-R1: tiny, reader",
      `| Code | ${commit} |`,
      `| Its weights | hf:${commit}, from hf |`,
      `| Data set | locomo-mini, sha256 ${datasetSha256} |`,
      "| Seeds | run 7 |",
      "| Chosen step | 2 (validation score 0.625) |",
      `| Weights | sha256 ${sha256Of(weights)} |`,
      '"samplesPerTask": 2',
      '"rank": 4',
      "0.250",
    ])
      expect(card).toContain(text);
    expect(card).not.toContain("No checkpoint was better");
    expect(card).not.toContain("/home/");
  });

  it("says where no checkpoint was better than the start", async () => {
    await request({ stage: "manager" });
    const card = await readFile(pathOf("out", "manager", "README.md"), "utf8");
    expect(card).toContain("# Memory Manager of Memory-R1");
    expect(card).toContain("No checkpoint was better on validation than the start of this stage");
  });

  it("refuses weights that are not those that were saved", async () => {
    await writeFile(join(checkpoint("manager"), "adapter_model.safetensors"), `${weights}!`);
    await expect(request()).rejects.toThrow(DataIntegrityError);
    expect(existsSync(pathOf("out", "manager"))).toBe(false);
  });

  it("overwrites nothing, and says what is missing", async () => {
    await request({ stage: "manager" });
    await expect(request()).rejects.toThrow(`${pathOf("out", "manager")} exists already`);
    expect(existsSync(pathOf("out", "reader"))).toBe(false);
    await expect(request({ stage: "critic" })).rejects.toThrow("has the stages reader, manager");
  });

  it("needs an id that means something elsewhere", async () => {
    await writeRun("models/mine", "local");
    await expect(request()).rejects.toThrow(ConfigError);
    const [exported] = await request({ baseModelId: "Org/Model" });
    expect(exported?.baseModelId).toBe("Org/Model");
  });
});

describe("the command", () => {
  it("prints the folders to stdout, and what is wrong to stderr with exit code 2", async () => {
    await writeRun();
    const shell = createScriptedShell(pathOf("."));
    const handle = createExportHandler(shell, exportRun);
    const flags = { run: "./run", out: "adapters", json: false };
    expect(await handle({ ...flags, stage: "reader" })).toBe(0);
    expect(shell.out()).toBe(`${pathOf("adapters", "reader")}\n`);
    expect(shell.err()).toContain("hf upload");
    expect(await handle({ ...flags, stage: "reader" })).toBe(2);
    expect(shell.err()).toContain("exists already");
    expect(await handle({ ...flags, run: "./none" })).toBe(2);
  });
});

describe("hubIdOf", () => {
  it("knows the embedded models by the ids of the engine's own list", async () => {
    const list = await readFile(
      new URL("../../../../packages/engine-torch/src/memory_r1_engine/models.py", import.meta.url),
      "utf8",
    );
    for (const [name, id] of Object.entries(embeddedModelIds)) {
      expect(list).toContain(`name="${name}",\n            hub_id="${id}",`);
      expect(hubIdOf({ name, source: "pypi" })).toBe(id);
    }
  });

  it("takes ids of the hub as they are, and no folders", () => {
    const name = "Qwen/Qwen2.5-3B-Instruct";
    expect(hubIdOf({ name, source: "hf" })).toBe(name);
    expect(() => hubIdOf({ name, source: "local" })).toThrow("--base-model");
    expect(() => hubIdOf({ name: "gpt2", source: "pypi" })).toThrow(ConfigError);
  });
});
