/** `pnpm bench:speed-retrieval`: exact search in 100,000 memories, beside peers. See README.md. */
import { createHash } from "node:crypto";
import { loadavg } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import {
  renderCsv,
  renderMarkdown,
  type TableColumn,
  type TableData,
  writeResult,
} from "@memory-r1/report";
import { parseJson } from "@memory-r1/spec";
import { z } from "zod";
import { parseCount, readFlags, runCommand } from "../common/command-line.ts";
import { describeMachine, readCommit } from "../common/provenance.ts";
import { runWorker } from "../common/run-worker.ts";
import { engines } from "./retrieval-engines.ts";
import { computePercentile, computeRecall } from "./retrieval-summary.ts";

const resultName = "speed-retrieval";

// This file runs from benchmarks/dist/speed.
const repositoryRoot = fileURLToPath(new URL("../../..", import.meta.url));
const worker = fileURLToPath(new URL("measure-retrieval.js", import.meta.url));

const defaults = {
  memories: "100000",
  dimensions: "384",
  queries: "200",
  count: "30",
  topics: "1000",
  seed: "0",
} as const;

const help = `Searches seeded vectors exactly with each engine, in a process of its own.

  --memories ${defaults.memories}
  --dimensions ${defaults.dimensions}
  --queries ${defaults.queries}
  --count ${defaults.count}           memories that a query gets
  --topics ${defaults.topics}        around which the vectors lie
  --seed ${defaults.seed}
  --output results     folder for ${resultName}.csv and its manifest
`;

const measurementSchema = z.strictObject({
  buildSeconds: z.number().nonnegative(),
  milliseconds: z.array(z.number().positive()).min(1),
  found: z.array(z.array(z.int().nonnegative())),
  peakMemoryMib: z.number().positive(),
});

interface Options {
  readonly shape: Readonly<Record<keyof typeof defaults, number>>;
  readonly output: string;
}

function readOptions(): Options | undefined {
  const number = (key: keyof typeof defaults) =>
    ({ type: "string", default: defaults[key] }) as const;
  const values = readFlags({
    memories: number("memories"),
    dimensions: number("dimensions"),
    queries: number("queries"),
    count: number("count"),
    topics: number("topics"),
    seed: number("seed"),
    output: { type: "string", default: "results" },
    help: { type: "boolean", default: false },
  });
  if (values.help) return undefined;
  return {
    shape: {
      memories: parseCount("--memories", values.memories, 1),
      dimensions: parseCount("--dimensions", values.dimensions, 1),
      queries: parseCount("--queries", values.queries, 1),
      count: parseCount("--count", values.count, 1),
      topics: parseCount("--topics", values.topics, 1),
      seed: parseCount("--seed", values.seed, 0),
    },
    output: resolve(repositoryRoot, values.output),
  };
}

function say(line: string): void {
  console.error(line);
}

interface Row {
  readonly engine: string;
  readonly medianMs: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  readonly recall: number;
  readonly buildSeconds: number;
  readonly peakMemoryMib: number;
}

async function measureAll(shape: Options["shape"]): Promise<readonly Row[]> {
  const rows: Row[] = [];
  let expected: readonly (readonly number[])[] | undefined;
  for (const engine of Object.keys(engines)) {
    const output = await runWorker({
      command: process.execPath,
      arguments: [worker, JSON.stringify({ engine, ...shape })],
    });
    const { found, milliseconds, ...rest } = parseJson(output, measurementSchema, engine);
    // The first engine is the definition.
    expected ??= found;
    const row = {
      engine,
      ...rest,
      medianMs: computePercentile(milliseconds, 0.5),
      p99Ms: computePercentile(milliseconds, 0.99),
      maxMs: Math.max(...milliseconds),
      recall: computeRecall(found, expected),
    };
    rows.push(row);
    say(
      `${engine}: p50 ${row.medianMs.toFixed(1)} ms, p99 ${row.p99Ms.toFixed(1)} ms, recall ${row.recall.toFixed(4)}`,
    );
  }
  return rows;
}

function tableOf(rows: readonly Row[], notes: readonly string[]): TableData {
  const score = (key: keyof Row, label: string): TableColumn => ({ key, label, kind: "score" });
  return {
    title: "Exact search for the best memories of a query",
    columns: [
      { key: "engine", label: "Engine", kind: "text" },
      score("medianMs", "p50, ms"),
      score("p99Ms", "p99, ms"),
      score("maxMs", "Slowest, ms"),
      score("recall", "Recall"),
      score("buildSeconds", "Build, s"),
      score("peakMemoryMib", "Peak memory, MiB"),
    ],
    rows: rows.map((row) => ({ ...row })),
    notes,
  };
}

async function run({ shape, output }: Options): Promise<void> {
  const startMs = performance.now();
  const createdAt = new Date().toISOString();
  const code = await readCommit(repositoryRoot);
  const machine = describeMachine();
  const [load = 0] = loadavg();
  if (load > 0.5) {
    say(`The machine is busy (load ${load.toFixed(1)}): searches will seem slower than they are.`);
  }
  const rows = await measureAll(shape);
  const flags = Object.entries(shape).map(([flag, value]) => `--${flag} ${value}`);
  const command = `pnpm bench:speed-retrieval ${flags.join(" ")}`;
  const table = tableOf(rows, [
    `${machine.cpu}, ${machine.cores} cores, load before ${load.toFixed(1)}, Node ${process.version}, ` +
      `commit ${code.commit ?? "unknown"}, \`${command}\`. The vectors themselves are ` +
      `${((shape.memories * shape.dimensions * 4) / 2 ** 20).toFixed(0)} MiB of each process's memory.`,
  ]);
  await writeResult({
    directory: output,
    files: { [`${resultName}.csv`]: renderCsv(table), [`${resultName}.md`]: renderMarkdown(table) },
    manifestName: `${resultName}.manifest.json`,
    manifest: {
      schemaVersion: 1,
      experiment: resultName,
      command,
      code,
      createdAt,
      configuration: { ...shape, loadAverageBefore: load },
      dataset: {
        name: "generated vectors",
        sha256: createHash("sha256").update(JSON.stringify(shape)).digest("hex"),
      },
      prompts: {},
      models: [],
      seeds: { vectors: shape.seed },
      versions: { node: process.version },
      machine,
      durationSeconds: (performance.now() - startMs) / 1000,
    },
  });
  console.log(renderMarkdown(table));
  say(`Written: ${join(output, `${resultName}.csv`)}`);
}

await runCommand(help, readOptions, run);
