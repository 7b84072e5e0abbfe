/** `pnpm bench:speed-longmemeval`: how fast, and in how much memory, a file of LongMemEval M's size is read. See README.md. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { loadavg, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  renderCsv,
  renderMarkdown,
  type TableColumn,
  type TableData,
  writeResult,
} from "@memory-r1/report";
import { ConfigError, HarnessError, parseJson } from "@memory-r1/spec";
import { z } from "zod";
import { parseCount, readFlags, runCommand } from "../common/command-line.ts";
import { describeMachine, readCommit } from "../common/provenance.ts";
import { generateLongMemEval } from "./generate-longmemeval.ts";

const resultName = "speed-longmemeval";

// This file runs from benchmarks/dist/speed.
const repositoryRoot = fileURLToPath(new URL("../../..", import.meta.url));
const worker = fileURLToPath(new URL("read-longmemeval.js", import.meta.url));

const help = `Writes a seeded file of LongMemEval M's size and shape and reads it, each time in a process of its own.

  --size 2.7GB         of the generated file; or MB, kB
  --sessions 500       in each record
  --seed 0
  --repetitions 3      readings
  --file PATH          read this file of LongMemEval instead of a generated one
  --directory PATH     where the generated file is put until the end; default: the system's folder for temporary files
  --output results     folder for ${resultName}.csv and its manifest
`;

const measurementSchema = z.strictObject({
  sha256: z.string(),
  records: z.int().positive(),
  questions: z.int().positive(),
  turns: z.int().positive(),
  seconds: z.number().positive(),
  processorSeconds: z.number().positive(),
  firstQuestionSeconds: z.number().positive(),
  peakMemoryMib: z.number().positive(),
});
type Measurement = z.infer<typeof measurementSchema>;

interface Options {
  readonly sizeBytes: number;
  readonly size: string;
  readonly sessions: number;
  readonly seed: number;
  readonly repetitions: number;
  /** Undefined: a generated one. */
  readonly file: string | undefined;
  readonly directory: string;
  readonly output: string;
}

function readOptions(): Options | undefined {
  const values = readFlags({
    size: { type: "string", default: "2.7GB" },
    sessions: { type: "string", default: "500" },
    seed: { type: "string", default: "0" },
    repetitions: { type: "string", default: "3" },
    file: { type: "string" },
    directory: { type: "string", default: tmpdir() },
    output: { type: "string", default: "results" },
    help: { type: "boolean", default: false },
  });
  if (values.help) return undefined;
  return {
    sizeBytes: parseSize(values.size),
    size: values.size,
    sessions: parseCount("--sessions", values.sessions, 1),
    seed: parseCount("--seed", values.seed, 0),
    repetitions: parseCount("--repetitions", values.repetitions, 1),
    file: values.file === undefined ? undefined : resolve(values.file),
    directory: resolve(values.directory),
    output: resolve(repositoryRoot, values.output),
  };
}

function parseSize(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)(GB|MB|kB)$/.exec(text) ?? [];
  const bytes = Math.round(Number(number) * ({ GB: 1e9, MB: 1e6, kB: 1e3 }[unit ?? ""] ?? 0));
  if (!(bytes > 0)) throw new ConfigError(`--size: "${text}" is no size such as 2.7GB or 50MB.`);
  return bytes;
}

function say(line: string): void {
  console.error(line);
}

/** Hands the file to be read to `measure`; a generated one is gone afterwards. */
async function withFile<T>(options: Options, measure: (file: string) => Promise<T>): Promise<T> {
  if (options.file !== undefined) return measure(options.file);
  const folder = await mkdtemp(join(options.directory, "longmemeval-"));
  try {
    const file = join(folder, "generated.json");
    say(`Writing ${options.size} to ${file}`);
    const { bytes, records } = await generateLongMemEval(file, {
      sizeBytes: options.sizeBytes,
      seed: options.seed,
      sessionsPerRecord: options.sessions,
      poolSize: 1500,
    });
    say(`${bytes} bytes, ${records} records`);
    return await measure(file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch (cause) {
    throw new ConfigError(`${file} cannot be read: ${String(cause)}. Check --file.`, cause);
  }
}

/** @throws HarnessError with what the worker said where it fails */
async function readOnce(file: string): Promise<Measurement> {
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [worker, file]);
    return parseJson(stdout, measurementSchema, "output of read-longmemeval");
  } catch (cause) {
    if (HarnessError.isInstance(cause)) throw cause;
    const said = cause instanceof Error && "stderr" in cause ? String(cause.stderr) : String(cause);
    throw new HarnessError("benchmark", `reading ${file} failed:\n${said.trim()}`, cause);
  }
}

interface Row extends Measurement {
  readonly bytes: number;
  readonly megabytesPerSecond: number;
  readonly megabytesPerProcessorSecond: number;
}

function tableOf(rows: readonly Row[], notes: readonly string[]): TableData {
  const count = (key: string, label: string): TableColumn => ({ key, label, kind: "count" });
  const score = (key: string, label: string): TableColumn => ({ key, label, kind: "score" });
  return {
    title: "Reading LongMemEval one question at a time",
    columns: [
      count("repetition", "Reading"),
      count("bytes", "Bytes"),
      count("questions", "Questions"),
      count("turns", "Turns"),
      score("megabytesPerSecond", "MB/s"),
      score("megabytesPerProcessorSecond", "MB per processor second"),
      score("firstQuestionSeconds", "Until the first question, s"),
      score("peakMemoryMib", "Peak memory, MiB"),
    ],
    rows: rows.map((row, index) => ({ repetition: index + 1, ...row })),
    notes,
  };
}

async function run(options: Options): Promise<void> {
  const startMs = performance.now();
  const createdAt = new Date().toISOString();
  const code = await readCommit(repositoryRoot);
  const machine = describeMachine();
  const [load = 0] = loadavg();
  if (load > 0.5) {
    say(`The machine is busy (load ${load.toFixed(1)}): reading will seem slower than it is.`);
  }
  const rows = await withFile(options, async (file) => {
    const bytes = await sizeOf(file);
    const found: Row[] = [];
    for (let repetition = 1; repetition <= options.repetitions; repetition += 1) {
      const measurement = await readOnce(file);
      const row = {
        ...measurement,
        bytes,
        megabytesPerSecond: bytes / 1e6 / measurement.seconds,
        megabytesPerProcessorSecond: bytes / 1e6 / measurement.processorSeconds,
      };
      found.push(row);
      say(
        `${repetition} of ${options.repetitions}: ${row.megabytesPerSecond.toFixed(0)} MB/s, ` +
          `first question after ${row.firstQuestionSeconds.toFixed(2)} s, peak ${row.peakMemoryMib.toFixed(0)} MiB`,
      );
    }
    return found;
  });
  const [first] = rows;
  if (first === undefined) throw new RangeError("there is at least one reading");
  const source = options.file === undefined ? `--size ${options.size}` : "--file <the file>";
  const command =
    `pnpm bench:speed-longmemeval ${source} --sessions ${options.sessions} --seed ${options.seed} ` +
    `--repetitions ${options.repetitions}`;
  const table = tableOf(rows, [
    `${machine.cpu}, load before ${load.toFixed(1)}, Node ${process.version}, commit ${code.commit ?? "unknown"}, ` +
      `seed ${options.seed}, \`${command}\`. The file lay in the system's page cache.`,
  ]);
  await writeResult({
    directory: options.output,
    files: { [`${resultName}.csv`]: renderCsv(table) },
    manifestName: `${resultName}.manifest.json`,
    manifest: {
      schemaVersion: 1,
      experiment: resultName,
      command,
      code,
      createdAt,
      configuration: {
        size: options.size,
        sessions: options.sessions,
        repetitions: options.repetitions,
        loadAverageBefore: load,
      },
      dataset: {
        name: options.file === undefined ? "generated LongMemEval" : "LongMemEval",
        sha256: first.sha256,
      },
      prompts: {},
      models: [],
      seeds: { generator: options.seed },
      versions: { node: process.version },
      machine,
      durationSeconds: (performance.now() - startMs) / 1000,
    },
  });
  console.log(renderMarkdown(table));
  say(`Written: ${join(options.output, `${resultName}.csv`)}`);
}

await runCommand(help, readOptions, run);
