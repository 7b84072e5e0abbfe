/** `pnpm bench:speed`: one GRPO step of this project's engine beside TRL's. See README.md. */
import { loadavg, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { prepareEngine, type PreparedEngine } from "@memory-r1/engine";
import { renderCsv, renderMarkdown, sha256Of, writeResult } from "@memory-r1/report";
import { ConfigError, HarnessError } from "@memory-r1/spec";
import { parseCount, runCommand } from "../common/command-line.ts";
import { preparePeerEnvironment } from "../common/peer-environment.ts";
import { describeMachine, readCommit } from "../common/provenance.ts";
import { chooseTrlPass, formatShape, groupSize, parseShapes, type Shape } from "./shapes.ts";
import {
  measurementTable,
  type Observation,
  readableTable,
  summarise,
  summaryTable,
} from "./summary.ts";
import { startWorker, type Worker, type WorkerFacts } from "./worker-process.ts";

const resultName = "speed-grpo-update";
const modelName = "smollm2-135m-instruct";

// This file runs from benchmarks/dist/speed; the workers lie beside its source.
const repositoryRoot = fileURLToPath(new URL("../../..", import.meta.url));
const sourceDirectory = join(repositoryRoot, "benchmarks", "speed");

const help = `Measures one GRPO step (sampling, loss, backward pass, optimiser) of this project's engine beside TRL's GRPOTrainer.

  --shapes 350+16,1000+64   prompt tokens + completion tokens, groups of ${groupSize}
  --dtypes float32          float32, bfloat16 or both
  --trl-pass auto           completions that TRL's update takes at once: 1, 2, 4, 8, or as many as memory should hold
  --repetitions 3           measured steps of each engine, in turns
  --threads 2
  --seed 0
  --output results          folder for ${resultName}.csv and its manifest
`;

interface Options {
  readonly shapes: readonly Shape[];
  readonly dtypes: readonly string[];
  /** Completions that TRL's update takes at once; undefined: as many as memory should hold. */
  readonly trlPass: number | undefined;
  readonly repetitions: number;
  readonly threads: number;
  readonly seed: number;
  readonly output: string;
}

/** An engine under test: how its worker is started. */
interface Engine {
  readonly name: string;
  readonly python: string;
  readonly script: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Completions of a shape that the update takes at once. */
  readonly completionsPerPass: (shape: Shape) => number;
}

function readOptions(): Options | undefined {
  const values = parseFlags();
  if (values.help) return undefined;
  const dtypes = values.dtypes.split(",");
  for (const dtype of dtypes) {
    if (!["float32", "bfloat16"].includes(dtype)) {
      throw new ConfigError(`--dtypes: "${dtype}" is unknown. There are float32 and bfloat16.`);
    }
  }
  return {
    shapes: parseShapes(values.shapes),
    dtypes,
    trlPass: parsePass(values["trl-pass"]),
    repetitions: parseCount("--repetitions", values.repetitions, 1),
    threads: parseCount("--threads", values.threads, 1),
    seed: parseCount("--seed", values.seed, 0),
    output: resolve(repositoryRoot, values.output),
  };
}

function parseFlags() {
  try {
    return parseArgs({
      // `pnpm bench:speed -- --seed 1` hands the dashes on.
      args: process.argv.slice(2).filter((argument) => argument !== "--"),
      options: {
        shapes: { type: "string", default: "350+16,1000+64" },
        dtypes: { type: "string", default: "float32" },
        "trl-pass": { type: "string", default: "auto" },
        repetitions: { type: "string", default: "3" },
        threads: { type: "string", default: "2" },
        seed: { type: "string", default: "0" },
        output: { type: "string", default: "results" },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (cause) {
    if (!(cause instanceof TypeError)) throw cause;
    throw new ConfigError(`${cause.message}. \`--help\` lists the flags.`, cause);
  }
}

function parsePass(text: string): number | undefined {
  if (text === "auto") return undefined;
  const completions = parseCount("--trl-pass", text, 1);
  if (groupSize % completions !== 0) {
    throw new ConfigError(`--trl-pass: ${text} does not divide the group of ${groupSize}.`);
  }
  return completions;
}

function say(line: string): void {
  console.error(line);
}

async function prepareEngines(
  prepared: PreparedEngine,
  options: Options,
): Promise<readonly Engine[]> {
  const python = await preparePeerEnvironment({
    name: "trl",
    requirements: join(sourceDirectory, "requirements-trl.txt"),
    cacheDirectory: prepared.cacheDirectory,
    python: prepared.python,
    pythonVersion: prepared.pythonVersion,
    write: say,
  });
  return [
    {
      name: "Memory-R1",
      python: prepared.python,
      script: join(sourceDirectory, "ours.py"),
      environment: { PYTHONPATH: join(prepared.engineDirectory, "src") },
      completionsPerPass: () => groupSize,
    },
    {
      name: "TRL 1.16.0",
      python,
      script: join(sourceDirectory, "trl_peer.py"),
      environment: {},
      completionsPerPass: (shape) => options.trlPass ?? chooseTrlPass(shape, totalmem() / 2 ** 20),
    },
  ];
}

function startEngine(
  engine: Engine,
  modelDirectory: string,
  shape: Shape,
  dtype: string,
  options: Options,
): Promise<Worker> {
  const flags = {
    model: modelDirectory,
    dtype,
    threads: options.threads,
    seed: options.seed,
    "prompt-tokens": shape.promptTokens,
    "completion-tokens": shape.completionTokens,
    repetitions: options.repetitions,
    "completions-per-pass": engine.completionsPerPass(shape),
  };
  return startWorker({
    name: engine.name,
    command: engine.python,
    arguments: [
      engine.script,
      ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)]),
    ],
    environment: {
      ...process.env,
      OMP_NUM_THREADS: String(options.threads),
      MKL_NUM_THREADS: String(options.threads),
      // What the engine sets for itself: how long threads wait awake. TRL gets it too.
      GOMP_SPINCOUNT: "10000",
      HF_HUB_OFFLINE: "1",
      PYTHONUTF8: "1",
      // No bytecode beside the sources.
      PYTHONDONTWRITEBYTECODE: "1",
      ...engine.environment,
    },
  });
}

/** All repetitions at one shape and dtype: both engines loaded, one at a time computing, in turns. */
async function measureShape(
  engines: readonly Engine[],
  modelDirectory: string,
  shape: Shape,
  dtype: string,
  options: Options,
): Promise<{ observations: readonly Observation[]; facts: ReadonlyMap<string, WorkerFacts> }> {
  const where = `${formatShape(shape)} ${dtype}`;
  const workers: { engine: Engine; worker: Worker }[] = [];
  const observations: Observation[] = [];
  try {
    for (const engine of engines) {
      say(`${where}: loading and warming up ${engine.name}`);
      const worker = await startEngine(engine, modelDirectory, shape, dtype, options);
      workers.push({ engine, worker });
    }
    const facts = new Map(workers.map(({ engine, worker }) => [engine.name, worker.facts]));
    checkSameTask([...facts.values()], options.threads);
    for (let repetition = 1; repetition <= options.repetitions; repetition += 1) {
      for (const { engine, worker } of workers) {
        const measurement = await worker.measure();
        checkShape(engine.name, shape, measurement);
        observations.push({
          shape,
          dtype,
          engine: engine.name,
          repetition,
          measurement,
          completionsPerPass: engine.completionsPerPass(shape),
        });
        say(
          `${where}: ${engine.name} ${repetition} of ${options.repetitions}: ` +
            `update ${measurement.updateSeconds.toFixed(2)} s, whole step ${measurement.stepSeconds.toFixed(2)} s, ` +
            `peak ${measurement.peakMemoryMib.toFixed(0)} MiB`,
        );
      }
    }
    return { observations, facts };
  } finally {
    await Promise.all(workers.map(({ worker }) => worker.stop()));
  }
}

/** What both engines compute must be the same, or the numbers say nothing. @throws HarnessError */
function checkSameTask(facts: readonly WorkerFacts[], threads: number): void {
  const differing = (["promptsSha256", "trainableParameters", "threads"] as const).filter(
    (key) => new Set(facts.map((fact) => fact[key])).size > 1,
  );
  if (differing.length > 0 || facts.some((fact) => fact.threads !== threads)) {
    throw new HarnessError(
      "benchmark",
      `the engines do not measure the same (${differing.join(", ") || "threads"}): ${JSON.stringify(facts)}`,
    );
  }
}

/** @throws HarnessError where a completion ended early or a prompt was cut. */
function checkShape(
  name: string,
  shape: Shape,
  found: { readonly promptTokens: number; readonly completionTokens: number },
): void {
  const expected = groupSize * shape.completionTokens;
  if (found.promptTokens !== shape.promptTokens || found.completionTokens !== expected) {
    throw new HarnessError(
      "benchmark",
      `${name} computed ${found.promptTokens} prompt tokens and ${found.completionTokens} completion tokens, ` +
        `expected ${shape.promptTokens} and ${expected}: try another --seed.`,
    );
  }
}

async function run(options: Options): Promise<void> {
  const startMs = performance.now();
  const createdAt = new Date().toISOString();
  const code = await readCommit(repositoryRoot);
  const prepared = await prepareEngine({
    model: modelName,
    logger: { info: say, warn: say },
  });
  const engines = await prepareEngines(prepared, options);
  const [load = 0] = loadavg();
  if (load > 0.5) {
    say(`The machine is busy (load ${load.toFixed(1)}): times will be too long and uneven.`);
  }

  const observations: Observation[] = [];
  const prompts: Record<string, string> = {};
  const versions: Record<string, string> = { node: process.version };
  let trainableParameters = 0;
  for (const dtype of options.dtypes) {
    for (const shape of options.shapes) {
      const measured = await measureShape(engines, prepared.model.directory, shape, dtype, options);
      observations.push(...measured.observations);
      for (const [name, facts] of measured.facts) {
        prompts[formatShape(shape)] = facts.promptsSha256;
        ({ trainableParameters } = facts);
        for (const [library, version] of Object.entries(facts.versions)) {
          versions[`${name}: ${library}`] = version;
        }
      }
    }
  }

  const summaries = summarise(observations);
  const shapes = options.shapes.map(formatShape).join(",");
  const command =
    `pnpm bench:speed --shapes ${shapes} --dtypes ${options.dtypes.join(",")} ` +
    `--trl-pass ${options.trlPass ?? "auto"} --repetitions ${options.repetitions} --threads ${options.threads} --seed ${options.seed}`;
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
        shapes,
        dtypes: options.dtypes,
        repetitions: options.repetitions,
        threads: options.threads,
        groupSize,
        trainableParameters,
        loadAverageBefore: load,
      },
      dataset: { name: "generated prompts", sha256: sha256Of(JSON.stringify(prompts)) },
      prompts,
      models: [
        {
          role: "policy",
          name: prepared.model.name,
          revision: prepared.model.revision,
          source: prepared.model.source,
        },
      ],
      seeds: { run: options.seed },
      versions,
      machine,
      durationSeconds: (performance.now() - startMs) / 1000,
    },
  });
  console.log(
    renderMarkdown(
      readableTable(summaries, [
        `median (minimum to maximum) of ${options.repetitions} steps; ratio to the first engine's median. ` +
          `${machine.cpu}, ${options.threads} threads, commit ${manifest.code.commit ?? "unknown"}, seed ${options.seed}, \`${command}\``,
      ]),
    ),
  );
  say(`Written: ${join(options.output, `${resultName}.csv`)}`);
}

await runCommand(help, readOptions, run);
