import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, EngineLostError, parseJson, ResumeMismatchError } from "@memory-r1/spec";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import {
  createScriptedShell,
  sampleResult,
  type ScriptedShell,
} from "../__fixtures__/scripted-shell.ts";
import type { DoctorFinding } from "../doctor-checks.ts";
import type {
  Pipeline,
  ResumeExperimentOptions,
  RunContext,
  RunExperimentOptions,
  TabulateRunsOptions,
} from "../run-context.ts";
import type { EngineCheckReport } from "../engine-check/check-engine.ts";
import { createDoctorHandler } from "./doctor.ts";
import { createEngineCheckHandler } from "./engine.ts";
import { createListHandler } from "./list.ts";
import { createReportHandler, type ReportRequest } from "./report.ts";
import { createResumeHandler } from "./resume.ts";
import { createRunHandler } from "./run.ts";

let folder: string;
let shell: ScriptedShell;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "memory-r1-commands-"));
  shell = createScriptedShell(folder);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const quiet = { json: false, verbose: false };
const demo = { ...quiet, experimentName: "demo" };
const demoId = "demo-20250102-030405";

const goldenTable = [
  "Demo",
  "System     F1",
  "──────  ─────",
  "RAG     0.250",
  "none        –",
  "",
].join("\n");

/** A pipeline that makes the run's folder, does `work` and ends with the sample result. */
function scriptedPipeline(work: (context: RunContext) => Promise<void> = () => Promise.resolve()) {
  const runs: RunExperimentOptions[] = [];
  const resumes: ResumeExperimentOptions[] = [];
  const views: TabulateRunsOptions[] = [];
  const pipeline: Pipeline = {
    runExperiment: async (options) => {
      runs.push(options);
      await mkdir(options.runDirectory);
      await work(options.context);
      return sampleResult(options.runDirectory, options.runId);
    },
    resumeExperiment: async (options) => {
      resumes.push(options);
      await work(options.context);
      return sampleResult(options.runDirectory, "demo-1");
    },
    tabulateRuns: (options) => {
      views.push(options);
      options.context.logger.warn("different commits");
      const { table } = sampleResult("", "");
      return Promise.resolve({ runs: [], table, detailTables: [table] });
    },
    listExperiments: () =>
      Promise.resolve([
        { name: "demo", description: "The whole job", dataset: "locomo-mini" },
        { name: "locomo-laptop", description: "With a small model", dataset: "locomo" },
      ]),
  };
  return { pipeline, runs, resumes, views };
}

describe("run", () => {
  it("runs the experiment, prints its table to stdout and the rest to stderr", async () => {
    const { pipeline, runs } = scriptedPipeline((context) => {
      context.logger.info("model found");
      context.logger.warn("slow disk");
      return Promise.resolve();
    });
    expect(await createRunHandler(shell, pipeline)(demo)).toBe(0);
    expect(shell.out()).toBe(goldenTable);
    const runDirectory = join(folder, "runs", demoId);
    expect(shell.err()).toBe(
      `model found\nwarning: slow disk\nrun: ${runDirectory}\ncsv: ${join(runDirectory, "results.csv")}\n`,
    );
    expect(runs[0]).toMatchObject({
      experimentName: "demo",
      overrides: [],
      runId: demoId,
      runDirectory,
    });
    expect(runs[0]).not.toHaveProperty("seed");
    expect(runs[0]?.context).toMatchObject({
      cacheDirectory: join(folder, "home", ".cache", "memory-r1"),
      dataDirectory: undefined,
      repositoryRoot: folder,
    });
  });

  it("passes flags on, paths relative to where the user is", async () => {
    const { pipeline, runs } = scriptedPipeline();
    const request = {
      ...demo,
      dataDir: "../data",
      out: "elsewhere",
      seed: 0,
      dtype: "bfloat16",
      threads: 2,
    } as const;
    await createRunHandler(shell, pipeline)({ ...request, id: "mine", set: [["a.b", "c"]] });
    expect(runs[0]).toMatchObject({
      overrides: [["a.b", "c"]],
      runId: "mine",
      runDirectory: join(folder, "elsewhere", "mine"),
      seed: 0,
      dtype: "bfloat16",
      threads: 2,
      context: { dataDirectory: join(folder, "..", "data") },
    });
  });

  it("prints the result as JSON and nothing else to stdout", async () => {
    const { pipeline } = scriptedPipeline();
    await createRunHandler(shell, pipeline)({ ...demo, json: true });
    const schema = z.object({ runId: z.string(), table: z.object({ rows: z.array(z.unknown()) }) });
    expect(parseJson(shell.out(), schema, "stdout")).toEqual({
      runId: demoId,
      table: { rows: [{ system: "RAG", f1: 0.25 }, { system: "none" }] },
    });
  });

  it("names the experiments where there is no such one", async () => {
    const { pipeline, runs } = scriptedPipeline();
    expect(await createRunHandler(shell, pipeline)({ ...demo, experimentName: "dmeo" })).toBe(2);
    expect(shell.err()).toBe(
      "error: There is no experiment dmeo. There are: demo, locomo-laptop.\n",
    );
    expect(runs).toEqual([]);
  });

  it("stops before anything long where it cannot write, or where the id is taken", async () => {
    const { pipeline, runs } = scriptedPipeline();
    await writeFile(join(folder, "file"), "");
    expect(await createRunHandler(shell, pipeline)({ ...demo, out: "file" })).toBe(2);
    expect(shell.err()).toContain(`${join(folder, "file")}: cannot write there`);
    await mkdir(join(folder, "runs", "mine"), { recursive: true });
    expect(await createRunHandler(shell, pipeline)({ ...demo, id: "mine" })).toBe(2);
    expect(shell.err()).toContain("repro resume mine");
    expect(runs).toEqual([]);
  });

  it.each([
    { error: new ConfigError("no model"), exitCode: 2, text: "error: no model\n" },
    {
      error: new EngineLostError("the engine has stopped"),
      exitCode: 1,
      text: `error: the engine has stopped\nresume with: pnpm repro resume ${demoId}\n`,
    },
  ])(
    "ends a run that fails with $error.name in exit code $exitCode",
    async ({ error, exitCode, text }) => {
      const { pipeline } = scriptedPipeline(() => Promise.reject(error));
      expect(await createRunHandler(shell, pipeline)(demo)).toBe(exitCode);
      expect([shell.out(), shell.err()]).toEqual(["", text]);
    },
  );

  it("names the runs' folder in the resume command where it is not the usual one", async () => {
    const { pipeline } = scriptedPipeline(() => Promise.reject(new EngineLostError("gone")));
    await createRunHandler(shell, pipeline)({ ...demo, id: "x", out: "my runs" });
    expect(shell.err()).toContain("resume with: pnpm repro resume x --out 'my runs'\n");
  });
});

describe("Ctrl-C", () => {
  /** A pipeline's work that ends only when it is told to stop, in the way of a library that was cut off. */
  const untilAborted = (context: RunContext) =>
    new Promise<void>((_resolve, reject) => {
      context.signal.addEventListener("abort", () =>
        setImmediate(() => reject(new Error("socket closed"))),
      );
    });

  it.each([
    { signal: "SIGINT", exitCode: 130 },
    { signal: "SIGTERM", exitCode: 143 },
    { signal: "SIGHUP", exitCode: 129 },
  ] as const)(
    "$signal ends the run in exit code $exitCode with one line",
    async ({ signal, exitCode }) => {
      const { pipeline } = scriptedPipeline((context) => {
        setImmediate(() => shell.signals.emit(signal, signal));
        return untilAborted(context);
      });
      expect(await createRunHandler(shell, pipeline)(demo)).toBe(exitCode);
      expect([shell.out(), shell.err()]).toEqual([
        "",
        `interrupted; finish with: pnpm repro resume ${demoId}\n`,
      ]);
      expect(shell.hardExits).toEqual([]);
      expect(shell.signals.eventNames()).toEqual([]);
    },
  );

  it("a second time leaves at once", async () => {
    const { pipeline } = scriptedPipeline((context) => {
      setImmediate(() => {
        shell.signals.emit("SIGINT", "SIGINT");
        shell.signals.emit("SIGINT", "SIGINT");
      });
      return untilAborted(context);
    });
    await createRunHandler(shell, pipeline)(demo);
    expect(shell.hardExits).toEqual([130]);
  });

  it("does not lose a run that ends all the same", async () => {
    const { pipeline } = scriptedPipeline(() => {
      shell.signals.emit("SIGINT", "SIGINT");
      return Promise.resolve();
    });
    expect(await createRunHandler(shell, pipeline)(demo)).toBe(0);
    expect(shell.out()).toBe(goldenTable);
  });
});

describe("resume and report", () => {
  it("go on with a run and print its table again, whichever folder it was moved to", async () => {
    const { pipeline, resumes } = scriptedPipeline();
    await mkdir(join(folder, "runs", "demo-1"), { recursive: true });
    expect(await createReportHandler(shell, pipeline)({ runs: ["demo-1"], json: false })).toBe(2);
    expect(shell.err()).toContain("repro resume demo-1");
    expect(await createResumeHandler(shell, pipeline)({ ...quiet, run: "demo-1" })).toBe(0);
    expect(resumes[0]?.runDirectory).toBe(join(folder, "runs", "demo-1"));
    expect(await readdir(join(folder, "runs", "demo-1"))).toEqual(["result.json"]);
    expect(shell.out()).toBe(goldenTable);
    expect(await createReportHandler(shell, pipeline)({ runs: ["demo-1"], json: false })).toBe(0);
    expect(shell.out()).toBe(goldenTable + goldenTable);
  });

  it("refuse a run that is not there", async () => {
    const { pipeline } = scriptedPipeline();
    expect(await createResumeHandler(shell, pipeline)({ ...quiet, run: "demo-9" })).toBe(2);
    expect(await createReportHandler(shell, pipeline)({ runs: ["demo-9"], json: true })).toBe(2);
    expect(shell.out()).toBe("");
  });

  it("end in exit code 2 where the run does not belong to this code", async () => {
    const { pipeline } = scriptedPipeline(() =>
      Promise.reject(new ResumeMismatchError("the data differs")),
    );
    await mkdir(join(folder, "runs", "demo-1"), { recursive: true });
    expect(await createResumeHandler(shell, pipeline)({ ...quiet, run: "demo-1" })).toBe(2);
    expect(shell.err()).toBe("error: the data differs\n");
  });
});

describe("report of another view", () => {
  const report = async (request: Partial<ReportRequest>) => {
    const { pipeline, views } = scriptedPipeline();
    for (const run of ["demo-1", "demo-2"])
      await mkdir(join(folder, "runs", run), { recursive: true });
    const code = await createReportHandler(
      shell,
      pipeline,
    )({ runs: ["demo-1"], json: false, ...request });
    return { code, views };
  };

  it("scores again where a switch asks for it, and prints every table", async () => {
    const { code, views } = await report({
      categoryNames: "mem0",
      knownIssues: "both",
      metric: "mem0-f1",
      csv: "all.csv",
      dataDir: "data",
    });
    expect(code).toBe(0);
    expect(views).toMatchObject([
      {
        runDirectories: [join(folder, "runs", "demo-1")],
        view: { categoryNaming: "mem0", knownIssues: "both", metric: "mem0-f1" },
        csvPath: join(folder, "all.csv"),
        context: { dataDirectory: join(folder, "data") },
      },
    ]);
    expect(shell.out()).toBe(`${goldenTable}\n${goldenTable}`);
    expect(shell.err()).toBe(
      `warning: different commits\nrun: ${join(folder, "runs", "demo-1")}\ncsv: ${join(folder, "all.csv")}\n`,
    );
  });

  it("takes several runs together, also as JSON", async () => {
    const { code, views } = await report({ runs: ["demo-1", "demo-2"], json: true });
    expect(code).toBe(0);
    expect(views[0]?.runDirectories).toEqual([
      join(folder, "runs", "demo-1"),
      join(folder, "runs", "demo-2"),
    ]);
    expect(views[0]).toMatchObject({ view: {} });
    expect(views[0]).not.toHaveProperty("csvPath");
    const schema = z.object({ runs: z.array(z.unknown()), detailTables: z.array(z.unknown()) });
    expect(parseJson(shell.out(), schema, "stdout").detailTables).toHaveLength(1);
  });

  it("makes the tables of a published result, which has none to print again", async () => {
    const published = join(folder, "results", "demo");
    await mkdir(published, { recursive: true });
    await writeFile(join(published, "manifest.json"), "{}");
    const { code, views } = await report({ runs: [published] });
    expect(code).toBe(0);
    expect(views).toMatchObject([{ runDirectories: [published], view: {} }]);
  });

  it("refuses a run that is not there", async () => {
    const { code, views } = await report({ runs: ["demo-1", "demo-9"] });
    expect({ code, views }).toEqual({ code: 2, views: [] });
  });
});

describe("list", () => {
  it("shows names, descriptions and data sets, also as JSON", async () => {
    const { pipeline } = scriptedPipeline();
    expect(await createListHandler(shell, pipeline)({ json: false })).toBe(0);
    expect(shell.out().split("\n")[2]).toBe("demo           The whole job       locomo-mini");
    const before = shell.out().length;
    await createListHandler(shell, pipeline)({ json: true });
    const schema = z.array(z.object({ name: z.string() }));
    expect(parseJson(shell.out().slice(before), schema, "stdout").map(({ name }) => name)).toEqual([
      "demo",
      "locomo-laptop",
    ]);
  });
});

describe("doctor", () => {
  const ok: DoctorFinding = { name: "node", status: "ok", detail: "v20", neededByDemo: true };
  const selfMade: DoctorFinding = {
    name: "model",
    status: "missing",
    detail: "not there",
    neededByDemo: true,
  };
  const unneeded: DoctorFinding = {
    name: "pnpm",
    status: "failed",
    detail: "old",
    neededByDemo: false,
  };
  const blocking: DoctorFinding = {
    name: "python",
    status: "failed",
    detail: "none on the PATH",
    fix: "install Python 3.11",
    neededByDemo: true,
  };
  const examine = (findings: readonly DoctorFinding[], json = false) =>
    createDoctorHandler(shell, () => Promise.resolve(findings))({ json });

  it("exits 0 where the demo can run, and 2 with what to do where it cannot", async () => {
    expect(await examine([ok, selfMade, unneeded])).toBe(0);
    expect(shell.out()).toContain("the demo can run");
    expect(await examine([ok, selfMade, blocking])).toBe(2);
    expect(shell.out()).toContain("install Python 3.11");
    expect(shell.out()).toContain("the demo cannot run");
  });

  it("answers as JSON", async () => {
    await examine([blocking], true);
    const schema = z.object({ canRunDemo: z.boolean(), findings: z.array(z.unknown()) });
    expect(parseJson(shell.out(), schema, "stdout")).toEqual({
      canRunDemo: false,
      findings: [blocking],
    });
  });

  it("shows an error of the inspection itself", async () => {
    const handler = createDoctorHandler(shell, () => Promise.reject(new ConfigError("no clone")));
    expect(await handler({ json: false })).toBe(2);
    expect(shell.err()).toBe("error: no clone\n");
  });
});

describe("engine check", () => {
  const passed = { group: "forward", name: "works", seconds: 1, status: "passed" } as const;
  const absent = { ...passed, status: "not offered", reason: "no grammars" } as const;
  const failed = { ...passed, status: "failed", reason: "2 instead of 3\nand more" } as const;
  const request = { engine: "embedded", json: false, verbose: false };
  const check = (results: EngineCheckReport["results"], json = false) =>
    createEngineCheckHandler(shell, ({ onResult }) => {
      results.forEach(onResult);
      return Promise.resolve({ engine: "some engine 1.0", results });
    })({ ...request, json });

  it("exits 0 where nothing failed, and 1 with the reason where something did", async () => {
    expect(await check([passed, absent])).toBe(0);
    expect(shell.out()).toContain("1 passed, 0 failed, 1 not offered");
    expect(shell.out()).toContain("no grammars");
    expect(await check([passed, failed])).toBe(1);
    expect(shell.out()).toContain("2 instead of 3");
    expect(shell.out()).not.toContain("and more");
    expect(shell.err()).toContain("failed: forward: works (1.0 s)");
  });

  it("answers as JSON with whole reasons", async () => {
    expect(await check([failed], true)).toBe(1);
    const schema = z.object({ engine: z.string(), results: z.array(z.unknown()) });
    expect(parseJson(shell.out(), schema, "stdout")).toEqual({
      engine: "some engine 1.0",
      results: [failed],
    });
  });

  it.each([
    [{ engine: "vllm" }, '"vllm" is no engine'],
    [{ engine: "skyrl", dialect: "skyrl-jax" }, "--dialect belongs to the URL"],
    [{ engine: "http://h:1", dialect: "torch" }, '"torch" is no dialect'],
    [
      { only: "fluency" },
      'no check has "fluency" in its group or name; the groups are capabilities',
    ],
    [{ engine: "embedded", processes: 2 }, "--processes belongs to --engine skyrl"],
  ])("refuses %j before anything is started", async (given, message) => {
    const { checkEngine } = await import("../engine-check/check-engine.ts");
    expect(await createEngineCheckHandler(shell, checkEngine)({ ...request, ...given })).toBe(2);
    expect(shell.err()).toContain(message);
  });
});
