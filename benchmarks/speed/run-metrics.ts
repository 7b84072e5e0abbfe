/** `pnpm bench:speed-metrics`: this project's metrics beside the same in Python and NLTK. See README.md. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { findFile, loadLocomo, locomoFile } from "@memory-r1/datasets";
import { defaultCacheDirectory } from "@memory-r1/engine";
import { type MetricName, sentenceAbbreviations } from "@memory-r1/metrics";
import {
  renderCsv,
  renderMarkdown,
  type TableData,
  type TableRow,
  writeResult,
} from "@memory-r1/report";
import { HarnessError, parseJson } from "@memory-r1/spec";
import { z } from "zod";
import { parseCount, readFlags, runCommand } from "../common/command-line.ts";
import { describeMachine, readCommit } from "../common/provenance.ts";
import { prepareReferencePython, referenceDirectory } from "../common/reference-python.ts";
import { runWorker } from "../common/run-worker.ts";
import { type AnswerPair, makeLocomoPairs, makeGeneratedPairs } from "./metrics-pairs.ts";
import { computeSpread, type Spread } from "./summary.ts";

const resultName = "speed-metrics";
const names = ["locomo-f1", "mem0-f1", "mem0-bleu1"] as const satisfies readonly MetricName[];

// This file runs from benchmarks/dist/speed; the Python worker lies beside its source.
const repositoryRoot = fileURLToPath(new URL("../../..", import.meta.url));
const sourceDirectory = join(repositoryRoot, "benchmarks", "speed");
const builtDirectory = fileURLToPath(new URL(".", import.meta.url));

const help = `Measures ${names.join(", ")} beside the same in Python with NLTK, and the loading of LoCoMo.

  --data-dir <path>         folder of locomo10.json, or the file; default: the cache, else a download
  --pairs 1000000           generated pairs beside LoCoMo's questions; 0: none
  --repetitions 3           fresh processes of each engine over LoCoMo, in turns
  --generated-repetitions 1 the same over the generated pairs
  --seed 0
  --output results          folder for ${resultName}.csv and its manifest
`;

interface Options {
  readonly dataDirectory: string | undefined;
  readonly pairs: number;
  readonly repetitions: number;
  readonly generatedRepetitions: number;
  readonly seed: number;
  readonly output: string;
}

function readOptions(): Options | undefined {
  const values = readFlags({
    "data-dir": { type: "string" },
    pairs: { type: "string", default: "1000000" },
    repetitions: { type: "string", default: "3" },
    "generated-repetitions": { type: "string", default: "1" },
    seed: { type: "string", default: "0" },
    output: { type: "string", default: "results" },
    help: { type: "boolean", default: false },
  });
  if (values.help) return undefined;
  return {
    dataDirectory: values["data-dir"] === undefined ? undefined : resolve(values["data-dir"]),
    pairs: parseCount("--pairs", values.pairs, 0),
    repetitions: parseCount("--repetitions", values.repetitions, 1),
    generatedRepetitions: parseCount("--generated-repetitions", values["generated-repetitions"], 1),
    seed: parseCount("--seed", values.seed, 0),
    output: resolve(repositoryRoot, values.output),
  };
}

const workerSchema = z.strictObject({
  measurements: z.array(
    z.strictObject({
      metric: z.string(),
      /** From 1: what is kept between texts is there from the second pass on. */
      pass: z.int().positive(),
      seconds: z.number().positive(),
      processorSeconds: z.number().nonnegative(),
      /** Of all scores: equal where two engines compute the same. */
      sum: z.number(),
    }),
  ),
  versions: z.record(z.string(), z.string()),
});
const loadSchema = z.strictObject({
  questions: z.int(),
  loadSeconds: z.number().positive(),
  processSeconds: z.number().positive(),
});

/** One metric over all pairs of a set, by one engine in one process; or one way of timing the load of LoCoMo. */
interface Observation {
  readonly task: string;
  /** Pairs; for a load, questions. */
  readonly items: number;
  readonly measure: string;
  readonly engine: string;
  /** From 1. */
  readonly repetition: number;
  readonly seconds: number;
  readonly processorSeconds?: number;
  readonly sum?: number;
}

/** A way to score a file of pairs. */
interface Engine {
  readonly name: string;
  readonly score: (file: string, passes: number) => Promise<string>;
}

const ownEngine = "Memory-R1";

function makeEngines(python: string): readonly Engine[] {
  return [
    {
      name: ownEngine,
      score: (file, passes) =>
        runWorker({
          command: process.execPath,
          arguments: [join(builtDirectory, "metrics-ours.js"), file, String(passes), ...names],
        }),
    },
    {
      name: "Python, NLTK",
      score: (file, passes) =>
        runWorker({
          command: python,
          arguments: [
            join(sourceDirectory, "metrics_peer.py"),
            file,
            String(passes),
            JSON.stringify([...sentenceAbbreviations]),
            ...names,
          ],
          modulePath: [referenceDirectory(repositoryRoot)],
        }),
    },
  ];
}

function say(line: string): void {
  console.error(line);
}

/** Pairs to be scored `passes` times by each of `repetitions` processes. */
interface PairSet {
  readonly name: string;
  readonly pairs: readonly AnswerPair[];
  readonly passes: number;
  readonly repetitions: number;
}

/** Every engine over one set of pairs, in turns, each time in a fresh process. */
async function measurePairs(
  { name, pairs, passes, repetitions }: PairSet,
  engines: readonly Engine[],
  folder: string,
): Promise<{ observations: readonly Observation[]; versions: Record<string, string> }> {
  const file = join(folder, "pairs.jsonl");
  await writeFile(file, `${pairs.map((pair) => JSON.stringify(pair)).join("\n")}\n`);
  const observations: Observation[] = [];
  const versions: Record<string, string> = {};
  for (let repetition = 1; repetition <= repetitions; repetition += 1) {
    for (const engine of engines) {
      say(`${name}: ${engine.name} ${repetition} of ${repetitions}`);
      const found = parseJson(await engine.score(file, passes), workerSchema, engine.name);
      Object.assign(versions, found.versions);
      for (const { metric, pass, ...measurement } of found.measurements) {
        const task = passes === 1 ? name : `${name}, pass ${pass}`;
        const identity = { task, items: pairs.length, measure: metric, engine: engine.name };
        observations.push({ ...identity, repetition, ...measurement });
      }
    }
  }
  checkSums(observations);
  return { observations, versions };
}

/** What both engines compute must be the same, or their times say nothing. @throws HarnessError */
function checkSums(observations: readonly Observation[]): void {
  for (const name of names) {
    const sums = observations.flatMap(({ measure, sum }) =>
      measure === name && sum !== undefined ? [sum] : [],
    );
    const spread = computeSpread(sums);
    if (spread.max - spread.min > 1e-9 * spread.max) {
      throw new HarnessError(
        "benchmark",
        `${name}: the engines' scores sum up to ${spread.min} and to ${spread.max}. pnpm bench:metrics-differential finds where they differ.`,
      );
    }
  }
}

async function measureLoading(file: string, repetitions: number): Promise<readonly Observation[]> {
  const observations: Observation[] = [];
  for (let repetition = 1; repetition <= repetitions; repetition += 1) {
    const output = await runWorker({
      command: process.execPath,
      arguments: [join(builtDirectory, "load-locomo.js"), file],
    });
    const found = parseJson(output, loadSchema, "load-locomo.js");
    const identity = { task: "load LoCoMo", items: found.questions, engine: ownEngine, repetition };
    observations.push(
      { ...identity, measure: "read, sha256, parse", seconds: found.loadSeconds },
      { ...identity, measure: "with the start of Node", seconds: found.processSeconds },
    );
  }
  return observations;
}

interface Summary {
  readonly first: Observation;
  readonly repetitions: number;
  readonly seconds: Spread;
}

function summarise(observations: readonly Observation[]): readonly Summary[] {
  const groups = new Map<string, Observation[]>();
  for (const observation of observations) {
    const key = JSON.stringify([observation.task, observation.measure, observation.engine]);
    groups.set(key, [...(groups.get(key) ?? []), observation]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const seconds = computeSpread(group.map((one) => one.seconds));
    return [{ first, repetitions: group.length, seconds }];
  });
}

const identityColumns = [
  { key: "task", label: "Task", kind: "text" },
  { key: "items", label: "Pairs or questions", kind: "count" },
  { key: "measure", label: "Measured", kind: "text" },
  { key: "engine", label: "Engine", kind: "text" },
] as const;

function identityOf({ task, items, measure, engine }: Observation): TableRow {
  return { task, items, measure, engine };
}

function summaryTable(summaries: readonly Summary[]): TableData {
  const numbers = ["secondsMin", "secondsMedian", "secondsMax"] as const;
  return {
    title: "",
    columns: [
      ...identityColumns,
      { key: "repetitions", label: "repetitions", kind: "count" },
      ...numbers.map((key) => ({ key, label: key, kind: "score" as const })),
    ],
    rows: summaries.map(({ first, repetitions, seconds }) => ({
      ...identityOf(first),
      repetitions,
      secondsMin: seconds.min,
      secondsMedian: seconds.median,
      secondsMax: seconds.max,
    })),
    notes: [],
  };
}

function measurementTable(observations: readonly Observation[]): TableData {
  return {
    title: "",
    columns: [
      ...identityColumns,
      { key: "repetition", label: "repetition", kind: "count" },
      { key: "seconds", label: "seconds", kind: "score" },
      { key: "processorSeconds", label: "processorSeconds", kind: "score" },
      { key: "sum", label: "sum", kind: "score" },
    ],
    rows: observations.map((observation) => ({
      ...identityOf(observation),
      repetition: observation.repetition,
      seconds: observation.seconds,
      processorSeconds: observation.processorSeconds,
      sum: observation.sum,
    })),
    notes: [],
  };
}

function readableTable(summaries: readonly Summary[], notes: readonly string[]): TableData {
  return {
    title: "Speed of the metrics",
    columns: [
      ...identityColumns,
      { key: "seconds", label: "Seconds", kind: "text" },
      { key: "each", label: "Microseconds each", kind: "text" },
      { key: "ratio", label: "Ratio", kind: "text" },
    ],
    rows: summaries.map(({ first, seconds }): TableRow => {
      const own = summaries.find(
        (other) =>
          other.first.engine === ownEngine &&
          other.first.task === first.task &&
          other.first.measure === first.measure,
      );
      return {
        ...identityOf(first),
        seconds: `${seconds.median.toPrecision(3)} (${seconds.min.toPrecision(3)} to ${seconds.max.toPrecision(3)})`,
        each: ((seconds.median / first.items) * 1e6).toPrecision(3),
        ratio: own === undefined ? "–" : `${(seconds.median / own.seconds.median).toFixed(1)} ×`,
      };
    }),
    notes,
  };
}

async function run(options: Options): Promise<void> {
  const startMs = performance.now();
  const createdAt = new Date().toISOString();
  const code = await readCommit(repositoryRoot);
  const file = await findFile(locomoFile, {
    dataDirectory: options.dataDirectory,
    cacheDirectory: defaultCacheDirectory(),
    logger: { info: say, warn: say },
  });
  const dataset = await loadLocomo({ file });
  const engines = makeEngines(await prepareReferencePython(repositoryRoot, say));
  const [load = 0] = loadavg();
  if (load > 0.5) {
    say(`The machine is busy (load ${load.toFixed(1)}): times will be too long and uneven.`);
  }

  const folder = await mkdtemp(join(tmpdir(), "memory-r1-speed-metrics-"));
  const observations: Observation[] = [];
  const versions: Record<string, string> = { node: process.version };
  try {
    observations.push(...(await measureLoading(file, options.repetitions)));
    const sets: readonly PairSet[] = [
      {
        name: "LoCoMo",
        pairs: makeLocomoPairs(dataset, options.seed),
        passes: 2,
        repetitions: options.repetitions,
      },
      {
        name: "generated",
        pairs: makeGeneratedPairs(options.pairs, options.seed),
        passes: 1,
        repetitions: options.generatedRepetitions,
      },
    ];
    for (const set of sets) {
      if (set.pairs.length === 0) continue;
      const measured = await measurePairs(set, engines, folder);
      observations.push(...measured.observations);
      Object.assign(versions, measured.versions);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }

  const summaries = summarise(observations);
  const command =
    `pnpm bench:speed-metrics --data-dir <folder of locomo10.json> --pairs ${options.pairs} --repetitions ${options.repetitions} ` +
    `--generated-repetitions ${options.generatedRepetitions} --seed ${options.seed}`;
  const machine = describeMachine();
  const manifest = await writeResult({
    directory: options.output,
    files: {
      [`${resultName}.csv`]: renderCsv(summaryTable(summaries)),
      [`${resultName}.measurements.csv`]: renderCsv(measurementTable(observations)),
    },
    manifestName: `${resultName}.manifest.json`,
    manifest: {
      schemaVersion: 1,
      experiment: resultName,
      command,
      code,
      createdAt,
      configuration: {
        metrics: names,
        pairs: options.pairs,
        repetitions: options.repetitions,
        generatedRepetitions: options.generatedRepetitions,
        loadAverageBefore: load,
      },
      dataset: { name: "locomo", sha256: dataset.sha256 },
      prompts: {},
      models: [],
      seeds: { run: options.seed },
      versions,
      machine,
      durationSeconds: (performance.now() - startMs) / 1000,
    },
  });
  console.log(
    renderMarkdown(
      readableTable(summaries, [
        `median (minimum to maximum) over fresh processes, without a warm-up: pass 1 is the first work of its process; ratio to ${ownEngine}'s median. ` +
          `${machine.cores} cores, ${machine.cpu}, commit ${manifest.code.commit ?? "unknown"}, seed ${options.seed}, \`${command}\``,
      ]),
    ),
  );
  say(`Written: ${join(options.output, `${resultName}.csv`)}`);
}

await runCommand(help, readOptions, run);
