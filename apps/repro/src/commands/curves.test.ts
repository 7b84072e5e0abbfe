import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DataFormatError, parseJson } from "@memory-r1/spec";
import { beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { createScriptedShell, type ScriptedShell } from "../__fixtures__/scripted-shell.ts";
import { readCurves } from "../curves/read-curves.ts";
import { showCurves } from "../curves/show-curves.ts";
import { createCurvesHandler } from "./curves.ts";

let folder: string;
let shell: ScriptedShell;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "curves-"));
  shell = createScriptedShell(folder);
});

const step = (number: number, mean?: number) => ({
  type: "step",
  step: number,
  learningRate: 1,
  ...(mean === undefined ? {} : { reward: { mean, min: 0, max: 1 } }),
});
const validation = (number: number, score: number, metrics = {}) => ({
  type: "validation",
  step: number,
  score,
  healthy: true,
  metrics,
});

interface StageLog {
  readonly name: string;
  readonly algorithm?: string;
  readonly records: readonly object[];
}

async function writeRun(id: string, seed: number, stages: readonly StageLog[]): Promise<string> {
  const run = join(folder, "runs", id);
  const training = stages.map(({ name, algorithm }) => ({ name, algorithm }));
  for (const { name, records } of stages) {
    await mkdir(join(run, "training", name), { recursive: true });
    await writeFile(
      join(run, "training", name, "metrics.jsonl"),
      records.map((record) => `${JSON.stringify(record)}\n`).join(""),
    );
  }
  await mkdir(run, { recursive: true });
  await writeFile(
    join(run, "config.json"),
    JSON.stringify({ runId: id, experiment: { name: "small", seed, training } }),
  );
  return run;
}

const reader = (...rewards: number[]): StageLog => ({
  name: "reader",
  records: [
    validation(0, 0.25),
    ...rewards.map((reward, index) => step(index, reward)),
    validation(rewards.length, 0.5),
  ],
});
const manager: StageLog = {
  name: "manager",
  algorithm: "ppo",
  records: [
    validation(0, 1.25, { evidenceMissing: 0.5 }),
    step(0),
    step(1, 0.75),
    { type: "rollback", step: 2, toStep: 0, reason: "evidence" },
    validation(2, 1, { evidenceMissing: 0.25 }),
  ],
};

const tableSchema = z.object({ rows: z.array(z.record(z.string(), z.unknown())) });

async function show(runs: readonly string[], files: { svg?: string; csv?: string } = {}) {
  const code = await createCurvesHandler(shell, showCurves)({ runs, json: true, ...files });
  return { code, rows: code === 0 ? parseJson(shell.out(), tableSchema, "stdout").rows : [] };
}

describe("curves", () => {
  it("averages first, last and best values over seeds, by hand", async () => {
    await writeRun("a", 1, [reader(0, 0.5, 0, 0, 0.5, 1, 1), manager]);
    await writeRun("b", 2, [reader(0.5, 0.5)]);
    const { code, rows } = await show(["a", "b"]);
    expect(code).toBe(0);
    const common = { experiment: "small", algorithm: "GRPO", stage: "reader" };
    expect(rows).toMatchObject([
      // (0.25 + 0.25) / 2, (0.5 + 0.5) / 2
      { ...common, seeds: 2, steps: 7, first: 0.25, last: 0.5, best: 0.5 },
      // First five of a: 0.2, of b (it has two) 0.5; last five of a: 0.5; best 1 and 0.5.
      { ...common, seeds: 2, steps: 7, first: 0.35, last: 0.5, best: 0.75 },
      { algorithm: "PPO", stage: "manager", seeds: 1, steps: 2, first: 1.25, last: 1, best: 1.25 },
      { algorithm: "PPO", stage: "manager", seeds: 1, first: 0.5, last: 0.25, best: 0.25 },
      { algorithm: "PPO", stage: "manager", seeds: 1, steps: 2, first: 0.75, last: 0.75 },
    ]);
  });

  it("writes every point as CSV and draws every stage", async () => {
    await writeRun("a", 3, [reader(0.125), manager]);
    const { code } = await show(["a"], { svg: "curves.svg", csv: "points.csv" });
    expect(code).toBe(0);
    expect(await readFile(join(folder, "points.csv"), "utf8")).toBe(
      [
        "experiment,algorithm,seed,stage,series,step,value",
        "small,grpo,3,reader,validation,0,0.25",
        "small,grpo,3,reader,reward,0,0.125",
        "small,grpo,3,reader,validation,1,0.5",
        "small,ppo,3,manager,validation,0,1.25",
        "small,ppo,3,manager,evidenceMissing,0,0.5",
        "small,ppo,3,manager,reward,1,0.75",
        "small,ppo,3,manager,validation,2,1",
        "small,ppo,3,manager,evidenceMissing,2,0.25",
        "",
      ].join("\n"),
    );
    const svg = await readFile(join(folder, "curves.svg"), "utf8");
    expect(svg).toMatch(/^<svg[^>]*xmlns/);
    for (const text of ["reader", "manager", "small, GRPO", "small, PPO", "score of validations"])
      expect(svg).toContain(text);
    expect(shell.err()).toContain(`svg: ${join(folder, "curves.svg")}`);
  });

  it("reads a published result, of a version that named no algorithm too", async () => {
    const published = join(folder, "results", "small");
    await mkdir(join(published, "training"), { recursive: true });
    await writeFile(
      join(published, "manifest.json"),
      JSON.stringify({ configuration: { name: "small", seed: 4, training: [{ name: "reader" }] } }),
    );
    await writeFile(
      join(published, "training", "reader.jsonl"),
      `${JSON.stringify(validation(0, 0.5))}\n`,
    );
    expect(await readCurves([published])).toEqual([
      {
        experiment: "small",
        algorithm: "grpo",
        seed: 4,
        stage: "reader",
        series: "validation",
        step: 0,
        value: 0.5,
      },
    ]);
  });

  it("says what is wrong with a folder that has no curves", async () => {
    await writeRun("untrained", 1, []);
    expect(await show(["untrained"])).toEqual({ code: 2, rows: [] });
    expect(shell.err()).toContain('its experiment "small" trains nothing');
    await mkdir(join(folder, "runs", "empty"));
    expect(await show(["empty"])).toEqual({ code: 2, rows: [] });
    expect(shell.err()).toContain("neither config.json nor manifest.json");
    expect(await show(["gone"])).toEqual({ code: 2, rows: [] });
    const run = await writeRun("damaged", 1, [reader(1)]);
    await writeFile(join(run, "training", "reader", "metrics.jsonl"), '{"type":"step"}\n');
    await expect(readCurves([run])).rejects.toThrow(DataFormatError);
  });
});
