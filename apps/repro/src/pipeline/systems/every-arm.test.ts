import { readdir, readFile } from "node:fs/promises";
import { systemOptionsFor } from "@memory-r1/baselines/testing";
import { createAnswerAgent, createBm25Retriever, createMemoryManager } from "@memory-r1/core";
import { type ChatTokenizer, createEngineClient } from "@memory-r1/engine";
import { renderCsv } from "@memory-r1/report";
import { describe, expect, it } from "vitest";
import { resolveExperiment } from "../../experiment.ts";
import { systemArms } from "../../system-arms.ts";
import {
  createScriptedGenerator,
  type ScriptedGenerator,
} from "../__fixtures__/scripted-generator.ts";
import { createSilentContext } from "../__fixtures__/silent-context.ts";
import { useTemporaryFolder } from "../__fixtures__/temporary-folder.ts";
import { evaluateArms } from "../evaluate-arms.ts";
import { loadDataset, splitFor } from "../load-dataset.ts";
import { evidenceTable } from "./evidence-table.ts";
import { fairnessTable } from "./fairness-table.ts";
import { operationsTable } from "./operations-table.ts";
import { createTokenCounter } from "./token-counter.ts";

const pathOf = useTemporaryFolder();
const retriever = createBm25Retriever();

/** A token for every word. */
const tokenizer: ChatTokenizer = {
  encode: (text) => text.split(/\s+/u).map((_, index) => index),
  renderChat: (messages) => messages.map(({ content }) => content).join("\n"),
  encodeChat: (messages) => tokenizer.encode(tokenizer.renderChat(messages)),
  decode: () => "",
  eosTokenIds: [],
};

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
  const context = createSilentContext(pathOf("."));
  const dataset = await loadDataset(experiment, context);
  const managerOptions = { format: "compact", shownCount: 2, retriever } as const;
  const answerAgent = createAnswerAgent({ variant: "short" });
  const evaluation = await evaluateArms(
    {
      experiment,
      context,
      runDirectory: pathOf(folder),
      dataset,
      splits: splitFor(experiment, dataset),
      engine: {
        client: createEngineClient({ baseUrl: "http://127.0.0.1:9", token: "" }),
        sessionId: "",
        baseModel: "",
        tokenizer,
        checkpointsDirectory: pathOf("checkpoints"),
      },
      retriever,
      embedding: systemOptionsFor({}).embedding,
      answerAgent,
      manager: createMemoryManager({ ...managerOptions, constrained: true }),
      unconstrainedManager: createMemoryManager({ ...managerOptions, constrained: false }),
      base,
      trained: () => Promise.reject(new Error("nothing here is trained")),
      grader: () => (answers) => Promise.resolve(answers.map(() => undefined)),
      fingerprint: "",
    },
    { manager: undefined, answer: undefined },
  );
  const fairness = fairnessTable({
    experiment,
    evaluation,
    tokens: createTokenCounter(tokenizer),
    agentOf: () => answerAgent,
  });
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
