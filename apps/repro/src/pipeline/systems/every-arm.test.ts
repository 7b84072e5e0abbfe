import { readdir, readFile } from "node:fs/promises";
import { renderCsv } from "@memory-r1/report";
import { describe, expect, it } from "vitest";
import { resolveExperiment } from "../../experiment.ts";
import { systemArms } from "../../system-arms.ts";
import { evaluateScripted } from "../__fixtures__/scripted-evaluation.ts";
import {
  createScriptedGenerator,
  type ScriptedGenerator,
} from "../__fixtures__/scripted-generator.ts";
import { useTemporaryFolder } from "../__fixtures__/temporary-folder.ts";
import { evidenceTable } from "./evidence-table.ts";
import { operationsTable } from "./operations-table.ts";

const pathOf = useTemporaryFolder();

/** All that there are: none is left out for want of room. */
const arms = systemArms(/(?!)/);

const experiment = resolveExperiment({
  name: "every-system",
  description: "Every system on one session",
  dataset: "locomo-mini",
  model: { name: "scripted" },
  answer: { memories: 3 },
  systems: { contextTokens: 32_768 },
  evaluation: {
    sessions: 1,
    metrics: ["squad-f1"],
    mainMetric: "squad-f1",
    arms,
  },
});

/** A run of all systems with a model that says one thing; the tables as CSV, and what the run left on the disk. */
async function run(base: ScriptedGenerator, folder: string) {
  const { evaluation, fairness } = await evaluateScripted(experiment, { base, pathOf, folder });
  const tables = [
    fairness,
    evidenceTable(experiment, evaluation),
    operationsTable(experiment, evaluation),
  ];
  const files = (await readdir(pathOf(folder), { recursive: true }))
    .filter((file) => file.endsWith(".jsonl") && file !== "timings.jsonl")
    .toSorted();
  const texts = await Promise.all(files.map((file) => readFile(pathOf(folder, file), "utf8")));
  return {
    evaluation,
    fairness,
    csv: tables.map(renderCsv),
    files: Object.fromEntries(files.map((file, index) => [file, texts[index]])),
  };
}

describe("every system of the registry, played by one experiment", () => {
  it("is told every turn, answers every question, and comes to the same bytes after a kill", async () => {
    const reply = () => "ADD: Nora has plants";
    const killed = createScriptedGenerator(reply, { breakAfter: 5 });
    await expect(run(killed, "killed")).rejects.toThrow("killed");
    const whole = createScriptedGenerator(reply);
    const after = await run(whole, "whole");
    const { conversations, questions, predictions } = after.evaluation;
    expect(conversations.map(({ sessions }) => sessions.length)).toEqual(
      conversations.map(() => 1),
    );
    const turns = conversations.reduce(
      (sum, { sessions }) => sum + (sessions[0]?.turns.length ?? 0),
      0,
    );
    const asked = questions.validation.length + questions.test.length;
    expect(asked).toBeGreaterThan(0);
    expect(
      after.fairness.rows.map(({ system, arm, turns: told, questions: count }) => [
        system,
        arm,
        told,
        count,
      ]),
    ).toEqual(arms.map(({ system, variant }) => [system, variant, turns, asked]));
    for (const { name } of arms) {
      const answers = predictions.get(name) ?? [];
      expect(answers, name).toHaveLength(asked);
      expect(
        answers.filter(({ outcome }) => outcome.status === "failed"),
        name,
      ).toEqual([]);
    }
    const resumed = createScriptedGenerator(reply);
    const again = await run(resumed, "killed");
    expect(resumed.batches).toHaveLength(whole.batches.length - 5);
    // A finished run asks nothing.
    const silent = createScriptedGenerator(reply, { breakAfter: 0 });
    const finished = await run(silent, "killed");
    for (const { csv, files } of [again, finished]) {
      expect(csv).toEqual(after.csv);
      expect(files).toEqual(after.files);
    }
  });
});
