import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { loadLocomoMini, splitDataset } from "@memory-r1/datasets";
import { writeFileAtomic, writeResult } from "@memory-r1/report";
import { ConfigError, type Question, ResumeMismatchError, silentLogger } from "@memory-r1/spec";
import { beforeEach, describe, expect, it } from "vitest";
import { type Override, resolveExperiment } from "../experiment.ts";
import type { RunViewRequest } from "../run-context.ts";
import { useTemporaryFolder } from "./__fixtures__/temporary-folder.ts";
import { tinyExperiment } from "./__fixtures__/tiny-experiment.ts";
import {
  type Prediction,
  predictionsFile,
  readPredictions,
  writePredictions,
} from "./answer-questions.ts";
import { chooseQuestions } from "./evaluate-arms.ts";
import { readRunConfig, writeRunConfig } from "./run-config.ts";
import { scorePredictions } from "./score-predictions.ts";
import { renderScores, scoresFile } from "./scores-file.ts";
import { tabulateRuns } from "./tabulate-runs.ts";

const pathOf = useTemporaryFolder();
const dataset = await loadLocomoMini();
const splits = splitDataset(dataset, "memory-r1");
const { test } = splits;

/** Answers with the gold where the arm knows it, with something else otherwise. */
type Knows = (question: Question, position: number) => boolean;

/** The folder that a finished run leaves: all 22 test questions, of which the arms rag and oracle know none and all. */
async function writeRun(
  runId: string,
  options: {
    readonly overrides?: readonly Override[];
    readonly memoryKnows?: Knows;
    readonly datasetSha256?: string;
    readonly commit?: string;
  } = {},
): Promise<string> {
  const { overrides = [], memoryKnows = () => true } = options;
  const knows: Readonly<Record<string, Knows>> = {
    rag: () => false,
    "memory-r1": memoryKnows,
    oracle: () => true,
  };
  const runDirectory = pathOf(runId);
  await mkdir(runDirectory);
  await writeRunConfig(runDirectory, {
    schemaVersion: 1,
    runId,
    command: "repro run tiny",
    startedAt: "2025-01-02T03:04:05.000Z",
    code: { commit: options.commit ?? null, dirty: false },
    resumed: [],
    datasetSha256: options.datasetSha256 ?? dataset.sha256,
    experiment: resolveExperiment(tinyExperiment, [["evaluation.testSample", "99"], ...overrides]),
  });
  for (const [arm, knowsAnswer] of Object.entries(knows)) {
    const answers = [...test.questions, ...test.adversarialQuestions].map(
      (question, position): Prediction => {
        const answer = knowsAnswer(question, position)
          ? (question.gold ?? "Not mentioned in the conversation")
          : "zebra";
        return {
          questionId: question.id,
          memories: [],
          outcome: { status: "answered", answer, raw: answer },
        };
      },
    );
    const lines = answers.map((answer) => `${JSON.stringify(answer)}\n`);
    await writeFileAtomic(predictionsFile(runDirectory, arm), lines.join(""));
  }
  return runDirectory;
}

/** The folder that is published of a run: its manifest and its scores, and no answers. */
async function publish(run: string): Promise<string> {
  const { experiment, code } = await readRunConfig(run);
  const arms = experiment.evaluation.arms.map(
    async ({ name }) => [name, await readPredictions(predictionsFile(run, name))] as const,
  );
  const directory = `${run}-published`;
  await writeResult({
    directory,
    files: {
      [scoresFile]: renderScores(
        experiment,
        chooseQuestions(experiment, splits),
        scorePredictions(new Map(await Promise.all(arms))),
      ),
    },
    manifestName: "manifest.json",
    manifest: {
      schemaVersion: 1,
      experiment: experiment.name,
      command: "repro run tiny",
      code,
      createdAt: "2025-01-02T03:04:05.000Z",
      configuration: experiment,
      dataset: { name: dataset.name, sha256: dataset.sha256 },
      prompts: {},
      models: [],
      seeds: { run: experiment.seed },
      versions: { node: "20.0.0" },
      machine: { cpu: "none", cores: 1, memoryGiB: 1, platform: "none" },
      durationSeconds: 0,
    },
  });
  return directory;
}

let warnings: string[] = [];
beforeEach(() => {
  warnings = [];
});

function view(runDirectories: readonly string[], request: RunViewRequest = {}, csvPath?: string) {
  return tabulateRuns({
    runDirectories,
    view: request,
    ...(csvPath === undefined ? {} : { csvPath }),
    context: {
      cacheDirectory: pathOf("cache"),
      dataDirectory: undefined,
      logger: { ...silentLogger, warn: (message) => warnings.push(message) },
    },
  });
}

describe("tabulateRuns", () => {
  it("scores the answers of a finished run again and changes nothing in its folder", async () => {
    const run = await writeRun("run");
    const before = await readdir(run);
    const { table, runs, detailTables } = await view([run]);
    expect(runs).toEqual([{ runId: "run", runDirectory: run }]);
    expect(table.rows.map((row) => [row["system"], row["questions"], row["squad-f1"]])).toEqual([
      ["RAG", 22, 0],
      ["Memory-R1", 22, 1],
      ["Control", 22, 1],
    ]);
    expect(detailTables[0]?.title).toBe("squad-f1 by category, named as in official");
    expect(await readdir(run)).toEqual(before);
  });

  it("names categories and takes the metric as asked", async () => {
    const run = await writeRun("run");
    const { table, detailTables } = await view([run], {
      categoryNaming: "mem0",
      metric: "mem0-f1",
      knownIssues: "both",
    });
    expect(detailTables[0]?.title).toBe("mem0-f1 by category, named as in mem0");
    expect(detailTables[0]?.columns.map(({ label }) => label)).toEqual([
      "Questions of",
      "System",
      "Arm",
      "Known gold errors",
      "single-hop",
      "temporal",
      "multi-hop",
      "open-domain",
      "All",
    ]);
    // The metric asked for is shown beside the experiment's own.
    expect(table.columns.map(({ key }) => key)).toContain("squad-em");
    expect(table.rows).toHaveLength(6);
    expect(table.rows[1]?.["mem0-f1"]).toBe(1);
  });

  it("takes the experiment's own naming, and scores questions to be refused apart", async () => {
    const run = await writeRun("run", {
      overrides: [
        ["evaluation.categoryNaming", "memorybench"],
        ["evaluation.adversarialSample", "3"],
      ],
    });
    const { detailTables } = await view([run]);
    expect(detailTables[0]?.title).toContain("named as in memorybench");
    expect(
      detailTables[2]?.rows.map((row) => [row["system"], row["questions"], row["refused"]]),
    ).toEqual([
      ["RAG", 3, 0],
      ["Memory-R1", 3, 1],
      ["Control", 3, 1],
      ["always refuse", 3, 1],
    ]);
  });

  it("averages runs that differ in their seed, and writes every scope to a CSV file", async () => {
    const seeds = [
      await writeRun("one", { overrides: [["seed", "1"]] }),
      await writeRun("two", {
        overrides: [["seed", "2"]],
        memoryKnows: (_question, position) => position < 11,
      }),
    ];
    const csv = pathOf("out", "leaderboard.csv");
    const { table } = await view(seeds, {}, csv);
    // 1 and 0.5: sqrt(2 * 0.25 ** 2)
    expect(table.rows[1]).toMatchObject({
      seeds: 2,
      questions: 22,
      "squad-f1": 0.75,
      "squad-f1SeedSd": Math.sqrt(0.125),
      "squad-f1Graded": 44,
    });
    expect(table.notes[1]).toContain("Means over 2 seeds (1, 2)");
    const [header = "", ...lines] = (await readFile(csv, "utf8")).split("\n");
    const column = header.split(",").indexOf("squad-f1SeedSd");
    const ofMemory = lines.find((line) => line.startsWith("test,Memory-R1,GRPO,all,"));
    expect(ofMemory?.split(",")[column]).toBe(String(Math.sqrt(0.125)));
  });

  it("makes a published result's tables from its scores, to the last byte, and averages it with a run", async () => {
    const knowsHalf: Knows = (_question, position) => position % 2 === 0;
    const more: readonly Override[] = [["evaluation.adversarialSample", "3"]];
    const one = await writeRun("one", { overrides: more, memoryKnows: knowsHalf });
    const two = await writeRun("two", { overrides: [...more, ["seed", "2"]] });
    const published = await publish(one);
    const shown = async (runs: readonly string[], name: string) => {
      const { table, detailTables } = await view(runs, { knownIssues: "both" }, pathOf(name));
      return [table, ...detailTables, await readFile(pathOf(name), "utf8")];
    };
    expect(await shown([published], "published.csv")).toEqual(await shown([one], "run.csv"));
    expect(await shown([published, two], "mixed.csv")).toEqual(await shown([one, two], "runs.csv"));
  });

  it("keeps an ungraded answer of a published result ungraded", async () => {
    const run = await writeRun("run");
    const file = predictionsFile(run, "memory-r1");
    const [first, ...others] = await readPredictions(file);
    if (first === undefined) throw new Error("the run has no answers");
    const failed: Prediction = {
      ...first,
      outcome: { status: "failed", reason: "the engine was busy" },
    };
    await writePredictions(file, [failed, ...others]);
    const { table } = await view([await publish(run)], { categoryNaming: "mem0" });
    expect(table.rows[1]).toMatchObject({ "squad-f1": 1, "squad-f1Graded": 21 });
  });

  it.each<[string, (folder: string) => Promise<unknown>, RunViewRequest, string]>([
    [
      "by a metric that was not published",
      async () => 0,
      { metric: "rouge-1-precision" },
      "no scores by",
    ],
    [
      "without its scores",
      (folder) => rm(join(folder, scoresFile)),
      { knownIssues: "both" },
      "published without single scores",
    ],
    [
      "with the scores of other arms",
      async (folder) => {
        const file = join(folder, scoresFile);
        await writeFile(file, (await readFile(file, "utf8")).replaceAll("oracle", "delphi"));
      },
      { knownIssues: "both" },
      'no scores of arm "oracle"',
    ],
  ])("refuses a published result %s", async (_what, change, request, problem) => {
    const folder = await publish(await writeRun("one"));
    await change(folder);
    const failed = view([folder], request);
    await expect(failed).rejects.toThrow(ConfigError);
    await expect(failed).rejects.toThrow(problem);
  });

  it("warns where the runs were made by different commits", async () => {
    const one = await writeRun("one", { overrides: [["seed", "1"]], commit: "aaaa" });
    const two = await writeRun("two", { overrides: [["seed", "2"]], commit: "bbbb" });
    await view([one, two]);
    expect(warnings).toEqual(["the runs were made by different commits"]);
  });

  it.each<[string, () => Promise<readonly string[]>, RunViewRequest, string]>([
    [
      "that have the same seed",
      async () => [await writeRun("one"), await writeRun("two")],
      {},
      "Runs one and two have the same seed, 1",
    ],
    [
      "of different experiments",
      async () => [
        await writeRun("one"),
        await writeRun("two", {
          overrides: [
            ["seed", "2"],
            ["answer.memories", "3"],
          ],
        }),
      ],
      {},
      "Runs one and two differ in more than their seed",
    ],
    [
      "that have not ended",
      async () => {
        const run = await writeRun("one");
        await writeFile(predictionsFile(run, "oracle"), "");
        return [run];
      },
      {},
      'Run one lacks the answers of arm "oracle" to 22 of 22 questions: it has not ended. Finish it by `repro resume one`',
    ],
    [
      "with a naming that there is not",
      async () => [await writeRun("one")],
      { categoryNaming: "zep" },
      'There is no category naming "zep". Known: official, mem0, memorybench.',
    ],
    [
      "with a metric that there is not",
      async () => [await writeRun("one")],
      { metric: "f2" },
      'There is no metric "f2"',
    ],
  ])("refuses runs %s", async (_what, write, request, problem) => {
    const failed = view(await write(), request);
    await expect(failed).rejects.toThrow(ConfigError);
    await expect(failed).rejects.toThrow(problem);
  });

  it("refuses other data than the run's", async () => {
    const run = await writeRun("one", { datasetSha256: "0".repeat(64) });
    await expect(view([run])).rejects.toThrow(ResumeMismatchError);
    await expect(view([run])).rejects.toThrow("--data-dir");
  });
});
