import { existsSync, readFileSync } from "node:fs";
import { ConfigError } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { grpoConfigSchema } from "./grpo-config.ts";
import { listPresetSettings, presetNames, resolvePreset } from "./presets.ts";

const document = new URL("../../../docs/training-presets.md", import.meta.url);
const run = { steps: 1, validateEvery: 5, checkpointEvery: 5 };

/** Every path to a value. */
function paths(node: unknown, path: string): readonly string[] {
  if (typeof node !== "object" || node === null) return [path];
  return Object.entries(node).flatMap(([name, child]) => paths(child, `${path}.${name}`));
}

describe("presets", () => {
  it("are the four", () => {
    expect(presetNames).toEqual(["paper", "verl-parity", "trl-parity", "laptop"]);
  });

  it.each(presetNames)("%s leaves no setting of GRPO to a default", (name) => {
    const { grpo } = resolvePreset(name);
    const complete = grpoConfigSchema.parse({ ...grpo, ...run });
    // How a run is sampled and watched changes nothing of what it learns from.
    const free = new Set([
      "steps",
      "validateEvery",
      "checkpointEvery",
      "resampleTries",
      "samplingParts",
      "logProbGapLimit",
    ]);
    const all = paths(complete, "grpo").filter((path) => !free.has(path.slice("grpo.".length)));
    const named = listPresetSettings(name).map(({ path }) => path);
    expect(named.filter((path) => path.startsWith("grpo."))).toEqual(
      expect.arrayContaining([...all]),
    );
  });

  it.each(presetNames)("%s says where every value is from", (name) => {
    const settings = listPresetSettings(name);
    expect(settings.length).toBeGreaterThan(40);
    for (const { path, source } of settings) {
      expect(path).toMatch(/^(tasksPerStep|(grpo|ppo)\..+)$/);
      expect(source).toMatch(
        /arXiv \d{4}\.\d{5}|@[0-9a-f]{9}|this repository|PyTorch's default|^off/,
      );
    }
  });

  it("have the values of their originals", () => {
    const paper = resolvePreset("paper");
    expect(paper.tasksPerStep).toBe(128);
    expect(paper.grpo.learningRate).toEqual({ peak: 1e-6, warmUpSteps: 0 });
    expect(paper.ppo).toMatchObject({
      learningRate: { peak: 1e-6 },
      criticLearningRate: { peak: 1e-5 },
    });
    expect(paper.grpo.maxCompletionTokens).toBe(2048);
    expect(resolvePreset("verl-parity").grpo).toMatchObject({
      advantages: { epsilon: 1e-6 },
      loss: { kind: "ppo", dualClip: 3, kl: { coefficient: 0.001, estimator: "k3", clamp: 10 } },
    });
    expect(resolvePreset("trl-parity").grpo).toMatchObject({
      advantages: { epsilon: 1e-4 },
      loss: { kind: "ppo", dualClip: 0, kl: { coefficient: 0 } },
      adam: { weightDecay: 0 },
    });
  });

  it("laptop is what the defaults do", () => {
    const { grpo } = resolvePreset("laptop");
    const { advantages, ...rest } = grpoConfigSchema.parse({ ...grpo, ...run });
    const { advantages: plain, ...others } = grpoConfigSchema.parse({
      ...run,
      maxCompletionTokens: 16,
      learningRate: { peak: 5e-4 },
    });
    expect(rest).toEqual(others);
    expect(advantages).toEqual({ ...plain, baseline: "group-mean" });
  });

  it("refuse other names", () => {
    expect(() => resolvePreset("tuned")).toThrow(ConfigError);
    expect(() => resolvePreset("toString")).toThrow(/use one of paper, verl-parity/);
  });

  it.skipIf(!existsSync(document))("are the tables of docs/training-presets.md", () => {
    const rows = readFileSync(document, "utf8")
      .split("\n")
      .map((line) => line.split("|").map((cell) => cell.trim()));
    const found = new Set(rows.map((cells) => cells.slice(1, -1).join(" | ")));
    const missing = presetNames
      .flatMap((name) => listPresetSettings(name))
      .map(({ path, value, source }) => `\`${path}\` | ${value} | ${source}`)
      .filter((row) => !found.has(row));
    expect(missing).toEqual([]);
  });
});
