import { execFileSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspectEngine } from "@memory-r1/engine";
import { writeTinyReranker } from "@memory-r1/engine/testing";
import { readManifest, renderText, verifyManifestFiles } from "@memory-r1/report";
import { EngineLostError } from "@memory-r1/spec";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Override, resolveExperiment } from "../experiment.ts";
import type { RunResult } from "../run-context.ts";
import { writeCompiledExperiment } from "./__fixtures__/compiled-experiment.ts";
import { writeOwnData } from "./__fixtures__/own-data.ts";
import { createSilentContext } from "./__fixtures__/silent-context.ts";
import { tinyExperiment } from "./__fixtures__/tiny-experiment.ts";
import { resumeExperiment, runExperiment } from "./run-experiment.ts";
import { tabulateRuns } from "./tabulate-runs.ts";

const { model, embedding } = resolveExperiment(tinyExperiment);

/** The embedded engine with the real default model, where an earlier run has installed it: a test downloads nothing. */
const unprepared = (await inspectEngine({ model: model.name, embedding })).filter(
  (finding) => finding.status !== "ok",
);
const note =
  unprepared.length === 0
    ? ""
    : ` (skipped: ${unprepared.map((finding) => finding.name).join(", ")} not prepared)`;

/** Hears of the progress of a run; see createSilentContext. */
type OnProgress = (event: string) => void;

describe.skipIf(unprepared.length > 0)(`a whole run on the embedded engine${note}`, () => {
  let root = "";
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "memory-r1-run-"));
    const { evaluation } = tinyExperiment;
    await writeCompiledExperiment(root, "tiny", {
      ...tinyExperiment,
      evaluation: {
        ...evaluation,
        reranker: { name: await writeTinyReranker(join(root, "tiny-reranker")) },
        arms: [
          ...evaluation.arms,
          {
            name: "reranked",
            system: "RAG",
            variant: "reranked",
            memory: { kind: "baseline", baseline: "rag-turns" },
            answer: "untrained",
            answerVariant: "short",
            rerank: { candidates: 4 },
          },
        ],
      },
    });
    await writeOwnData(root);
  });
  afterAll(() => rm(root, { recursive: true, force: true }));

  // Conversations of a few facts: a run is then mostly the engine's start.
  const contextOf = (onProgress: OnProgress, signal: AbortSignal) =>
    createSilentContext(root, { onProgress, signal, dataDirectory: root });
  const folderOf = (runId: string) => join(root, runId);

  function start(runId: string, onProgress: OnProgress, signal: AbortSignal): Promise<RunResult> {
    return runExperiment({
      experimentName: "tiny",
      overrides: [
        ["dataset", "jsonl"],
        ["evaluation.testSample", "3"],
      ],
      runDirectory: folderOf(runId),
      runId,
      seed: 7,
      dtype: "float32",
      context: contextOf(onProgress, signal),
    });
  }

  function resume(
    runId: string,
    onProgress: OnProgress,
    signal: AbortSignal,
    overrides: readonly Override[] = [],
  ): Promise<RunResult> {
    return resumeExperiment({
      runDirectory: folderOf(runId),
      overrides,
      context: contextOf(onProgress, signal),
    });
  }

  /** Engines at work for this run: their command names its folder of checkpoints. */
  function enginesOf(runId: string): number[] {
    return execFileSync("ps", ["-A", "-o", "pid=,args="], { encoding: "utf8" })
      .split("\n")
      .filter((line) => line.includes(folderOf(runId)))
      .map((line) => Number.parseInt(line, 10));
  }

  /** Calls `act` when an event has come the given number of times. */
  function when(event: string, times: number, act: () => void): OnProgress {
    let seen = 0;
    return (heard) => {
      if (heard === event && ++seen === times) act();
    };
  }

  /** Everything that a run computed and that has no clock in it, by file. */
  async function computed(runId: string): Promise<Record<string, string>> {
    const files = (await readdir(folderOf(runId), { recursive: true })).filter((file) =>
      /metrics\.jsonl$|^scores\.jsonl$|^(banks|predictions)\/.*\.jsonl$|\.csv$|^table\.md$/.test(
        file.replaceAll("\\", "/"),
      ),
    );
    const texts = files
      .toSorted()
      .map(async (file) => [file, await readFile(join(folderOf(runId), file), "utf8")] as const);
    return Object.fromEntries(await Promise.all(texts));
  }

  const never = new AbortController().signal;
  const ignore: OnProgress = () => undefined;

  it("ends in a table, with all files and a manifest that fits them", async () => {
    const result = await start("whole", ignore, never);
    expect(enginesOf("whole")).toEqual([]);
    expect(result.runId).toBe("whole");
    expect(
      result.table.rows.map(({ split, system, questions }) => [split, system, questions]),
    ).toEqual([
      ["test", "RAG", 3],
      ["test", "Memory-R1", 3],
      ["test", "Control", 3],
      ["test", "RAG", 3],
    ]);
    for (const row of result.table.rows) expect(row["squad-f1Graded"]).toBe(3);
    expect(result.csvPath).toBe(join(folderOf("whole"), "leaderboard.csv"));

    // Scored again from the answers in its folder, the run has the tables that it ended with.
    const again = await tabulateRuns({
      runDirectories: [folderOf("whole")],
      view: { knownIssues: "include" },
      context: contextOf(ignore, never),
    });
    expect([again.table, ...again.detailTables].map(renderText)).toEqual(
      [result.table, ...result.detailTables].map(renderText),
    );

    const manifest = await readManifest(join(folderOf("whole"), "manifest.json"));
    await verifyManifestFiles(folderOf("whole"), manifest);
    expect(manifest).toMatchObject({
      experiment: "tiny",
      seeds: { run: 7 },
      configuration: { model: { dtype: "float32" }, evaluation: { testSample: 3 } },
    });
    expect(manifest.models.map(({ role }) => role)).toEqual([
      "policy and reader",
      "embedding",
      "reranker",
    ]);
    expect(manifest.models.at(-1)?.revision).toMatch(/^local:sha256:/);
    expect(manifest.command).toContain(
      "run tiny --data-dir <folder of the data set> --seed 7 --dtype float32",
    );
    expect(Object.keys(await computed("whole"))).toEqual([
      "banks.csv",
      join("banks", "trained.jsonl"),
      "comparisons.csv",
      "evidence.csv",
      "fairness.csv",
      "leaderboard.csv",
      "operations.csv",
      join("predictions", "memory-r1.jsonl"),
      join("predictions", "oracle.jsonl"),
      join("predictions", "rag.jsonl"),
      join("predictions", "reranked.jsonl"),
      "scores.jsonl",
      "table.md",
      join("training", "manager", "metrics.jsonl"),
      join("training", "reader", "metrics.jsonl"),
    ]);
  }, 600_000);

  it("comes to the same bytes when it is stopped and killed", async () => {
    const stopped = new AbortController();
    const reason = new Error("Ctrl-C");
    const stop = () => stopped.abort(reason);
    // Between the reader's first and second update.
    const first = start("broken", when("reader: GRPO steps, reward", 2, stop), stopped.signal);
    await expect(first).rejects.toBe(reason);
    expect(enginesOf("broken")).toEqual([]);

    const kill = () => {
      for (const pid of enginesOf("broken")) process.kill(pid, "SIGKILL");
    };
    // In the Manager's first update, between the decisions and the optimiser.
    const second = resume("broken", when("manager: GRPO steps, train", 2, kill), never);
    await expect(second).rejects.toThrow(EngineLostError);
    expect(enginesOf("broken")).toEqual([]);

    const result = await resume("broken", ignore, never);
    expect(enginesOf("broken")).toEqual([]);
    expect(await computed("broken")).toEqual(await computed("whole"));
    await verifyManifestFiles(
      result.runDirectory,
      await readManifest(join(result.runDirectory, "manifest.json")),
    );
  }, 900_000);

  it("evaluates what was trained in another way, and says so in the manifest", async () => {
    const trained = await computed("whole");
    const other: Override = ["evaluation.testSample", "4"];
    const result = await resume("whole", ignore, never, [other]);
    expect(result.table.rows.map(({ questions }) => questions)).toEqual([4, 4, 4, 4]);
    const file = join("training", "manager", "metrics.jsonl");
    expect((await computed("whole"))[file]).toBe(trained[file]);
    const manifest = await readManifest(join(folderOf("whole"), "manifest.json"));
    expect(manifest).toMatchObject({
      configuration: { evaluation: { testSample: 4 } },
      resumed: [{ overrides: ["evaluation.testSample=4"] }],
    });
  }, 600_000);
});
