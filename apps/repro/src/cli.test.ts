import { judges } from "@memory-r1/metrics";
import { describe, expect, it } from "vitest";
import { type CommandHandlers, runCommandLine } from "./cli.ts";

interface Called {
  readonly command: string;
  readonly request: unknown;
}

async function runWords(words: readonly string[], exitCode = 0) {
  const calls: Called[] = [];
  let out = "";
  let err = "";
  const handle = (command: string) => (request: unknown) => {
    calls.push({ command, request });
    return Promise.resolve(exitCode);
  };
  const handlers: CommandHandlers = {
    run: handle("run"),
    resume: handle("resume"),
    report: handle("report"),
    curves: handle("curves"),
    score: handle("score"),
    list: handle("list"),
    doctor: handle("doctor"),
    engineCheck: handle("engine check"),
    datasets: {
      list: handle("datasets list"),
      get: handle("datasets get"),
      verify: handle("datasets verify"),
      stats: handle("datasets stats"),
      show: handle("datasets show"),
    },
    judge: handle("judge"),
    judgeAudit: handle("judgeAudit"),
    exportRun: handle("export"),
  };
  const code = await runCommandLine({
    words,
    handlers,
    version: "1.2.3",
    color: false,
    writeOut: (text) => (out += text),
    writeError: (text) => (err += text),
  });
  return { code, calls, out, err };
}

const quiet = { json: false, verbose: false };
const judgeDefaults = { judge: "mem0-j", model: "m", concurrency: 8, unconstrained: false };

describe("commands and flags", () => {
  it.each<{ words: string; command: string; request: object }>([
    { words: "", command: "run", request: { ...quiet, experimentName: "demo" } },
    { words: "--seed 3", command: "run", request: { ...quiet, experimentName: "demo", seed: 3 } },
    { words: "--json", command: "run", request: { ...quiet, experimentName: "demo", json: true } },
    { words: "run", command: "run", request: { ...quiet, experimentName: "demo" } },
    {
      words:
        "run locomo-laptop --data-dir ../d --out o --seed 0 --set a.b=c --set d=e=f --set g= --dtype bfloat16 --threads 2 --id x --json --verbose",
      command: "run",
      request: {
        experimentName: "locomo-laptop",
        dataDir: "../d",
        out: "o",
        seed: 0,
        set: [
          ["a.b", "c"],
          ["d", "e=f"],
          ["g", ""],
        ],
        dtype: "bfloat16",
        threads: 2,
        id: "x",
        json: true,
        verbose: true,
      },
    },
    { words: "resume demo-1", command: "resume", request: { ...quiet, run: "demo-1" } },
    {
      words: "export demo-1 --out a --stage manager --base-model Org/Model --json",
      command: "export",
      request: { run: "demo-1", out: "a", stage: "manager", baseModel: "Org/Model", json: true },
    },
    {
      words: "resume demo-1 --out o --data-dir d --set evaluation.testSample=9 --json --verbose",
      command: "resume",
      request: {
        run: "demo-1",
        out: "o",
        dataDir: "d",
        set: [["evaluation.testSample", "9"]],
        json: true,
        verbose: true,
      },
    },
    { words: "report demo-1", command: "report", request: { runs: ["demo-1"], json: false } },
    {
      words:
        "report a b --json --out o --category-names mem0 --known-issues both --metric squad-f1 --csv c --data-dir d",
      command: "report",
      request: {
        runs: ["a", "b"],
        json: true,
        out: "o",
        categoryNames: "mem0",
        knownIssues: "both",
        metric: "squad-f1",
        csv: "c",
        dataDir: "d",
      },
    },
    {
      words: "score --metric a,b --metric c --predictions p --out - --json",
      command: "score",
      request: { metric: ["a", "b", "c"], predictions: "p", out: "-", json: true },
    },
    { words: "score --metric list", command: "score", request: { metric: ["list"], json: false } },
    { words: "list", command: "list", request: { json: false } },
    { words: "list --json", command: "list", request: { json: true } },
    { words: "doctor", command: "doctor", request: { json: false } },
    { words: "doctor --json", command: "doctor", request: { json: true } },
    {
      words: "engine check",
      command: "engine check",
      request: { engine: "embedded", json: false, verbose: false },
    },
    {
      words: "engine check --engine http://h:1 --dialect skyrl-jax --only ppo --json",
      command: "engine check",
      request: {
        engine: "http://h:1",
        dialect: "skyrl-jax",
        only: "ppo",
        json: true,
        verbose: false,
      },
    },
    {
      words: "engine check --engine skyrl --processes 2",
      command: "engine check",
      request: { engine: "skyrl", processes: 2, json: false, verbose: false },
    },
    { words: "datasets list", command: "datasets list", request: { json: false } },
    {
      words: "datasets list --json --data-dir d",
      command: "datasets list",
      request: { json: true, dataDir: "d" },
    },
    {
      words: "datasets get locomo --data-dir d",
      command: "datasets get",
      request: { dataset: "locomo", json: false, dataDir: "d" },
    },
    {
      words: "datasets verify jsonl --data-dir d --json",
      command: "datasets verify",
      request: { dataset: "jsonl", json: true, dataDir: "d" },
    },
    {
      words: "datasets stats locomo-mini",
      command: "datasets stats",
      request: { dataset: "locomo-mini", json: false },
    },
    {
      words: "datasets show conv-26/qa-0 --dataset locomo",
      command: "datasets show",
      request: { question: "conv-26/qa-0", dataset: "locomo", json: false },
    },
    {
      words: "judge --judge mem0-j --model m --predictions p.jsonl --out v.jsonl",
      command: "judge",
      request: { ...quiet, ...judgeDefaults, predictions: "p.jsonl", out: "v.jsonl", runs: 1 },
    },
    {
      words:
        "judge demo-1 --judge mem0-j --model m --endpoint http://localhost:1 --runs 10 --concurrency 2 --unconstrained --arm a --arm b --data-dir d --json --verbose",
      command: "judge",
      request: {
        judge: "mem0-j",
        model: "m",
        run: "demo-1",
        endpoint: "http://localhost:1",
        runs: 10,
        concurrency: 2,
        unconstrained: true,
        arm: ["a", "b"],
        dataDir: "d",
        json: true,
        verbose: true,
      },
    },
    {
      words: "judge-audit --judge mem0-j --model m --labels l.jsonl --out o.jsonl",
      command: "judgeAudit",
      request: {
        ...quiet,
        ...judgeDefaults,
        labels: "l.jsonl",
        out: "o.jsonl",
        sample: 50,
        seed: 1,
      },
    },
    {
      words:
        "judge-audit --judge mem0-j --model m --dataset locomo-mini --sample 5 --seed 0 --out o",
      command: "judgeAudit",
      request: {
        ...quiet,
        ...judgeDefaults,
        dataset: "locomo-mini",
        out: "o",
        sample: 5,
        seed: 0,
      },
    },
  ])("`repro $words` is $command", async ({ words, command, request }) => {
    const { code, calls, err } = await runWords(words.split(" ").filter((word) => word !== ""));
    expect({ code, calls, err }).toEqual({ code: 0, calls: [{ command, request }], err: "" });
  });

  it("passes the handler's exit code on", async () => {
    expect((await runWords(["list"], 130)).code).toBe(130);
  });
});

describe("usage errors", () => {
  it.each([
    { words: "run --sead 3", message: "did you mean --seed" },
    { words: "--sead 3", message: "did you mean --seed" },
    { words: "rum demo", message: "did you mean `run`" },
    { words: "resume", message: "Expected argument for run-id" },
    { words: "export demo-1", message: "Expected input for flag --out" },
    { words: "run demo extra", message: "Too many arguments" },
    { words: "run --seed", message: "Expected input for flag --seed" },
    { words: "run --seed 1.5", message: "not a whole number of at least 0" },
    { words: "run --seed -1", message: "not a whole number of at least 0" },
    { words: "run --threads 0", message: "not a whole number of at least 1" },
    { words: "run --dtype float16", message: "float32" },
    { words: "run --set steps", message: "not of the form path=value" },
    { words: "run --set =3", message: "not of the form path=value" },
    { words: "run --set a..b=3", message: "not of the form path=value" },
    { words: "run --seed 1 --seed 2", message: "--seed" },
    { words: "list --verbose", message: "--verbose" },
    { words: "score --predictions p", message: "--metric" },
    { words: "report", message: "Expected at least 1 argument" },
    { words: "report a --known-issues some", message: "include|exclude|both" },
    { words: "datasets lst", message: "did you mean `list`" },
    { words: "datasets get", message: "Expected argument for name" },
    { words: "datasets show", message: "Expected argument for question-id" },
    { words: "datasets stats locomo extra", message: "Too many arguments" },
    { words: "judge --judge mem0-j", message: "Expected input for flag --model" },
    { words: "judge --model m --judge gpt", message: 'there is no judge "gpt": mem0-j,' },
    { words: "judge --judge dmr --model m --endpoint localhost", message: "no address" },
    { words: "judge-audit --judge dmr --model m", message: "Expected input for flag --out" },
  ])("`repro $words` calls nothing, says why and exits 2", async ({ words, message }) => {
    const { code, calls, out, err } = await runWords(words.split(" "));
    expect({ code, calls, out }).toEqual({ code: 2, calls: [], out: "" });
    expect(err).toContain(message);
    // One clear message, no stack.
    expect(err).not.toMatch(/^ {4}at /m);
  });

  it("refuses an empty value, as an unset variable of a script gives", async () => {
    const { code, err } = await runWords(["run", "--data-dir", ""]);
    expect(code).toBe(2);
    expect(err).toContain("for data-dir: the value is empty");
  });
});

describe("help and version", () => {
  it("go to stdout and exit 0", async () => {
    const help = await runWords(["--help"]);
    expect(help.code).toBe(0);
    for (const command of [
      "run",
      "resume",
      "report",
      "score",
      "list",
      "datasets",
      "doctor",
      "engine",
      "judge",
      "judge-audit",
    ])
      expect(help.out).toContain(`  ${command} `);
    expect(await runWords(["--version"])).toEqual({ code: 0, calls: [], out: "1.2.3\n", err: "" });
    const runHelp = await runWords(["run", "--help"]);
    for (const flag of [
      "--data-dir",
      "--out",
      "--seed",
      "--set",
      "--dtype",
      "--threads",
      "--id",
      "--json",
    ]) {
      expect(runHelp.out).toContain(flag);
    }
    const judgeHelp = await runWords(["judge", "--help"]);
    for (const name of Object.keys(judges)) expect(judgeHelp.out).toContain(`  ${name}: `);
  });
});
