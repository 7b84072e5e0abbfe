/** `pnpm bench:gpu`: gradients, updates and sampling on a GPU beside TRL. See README.md. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { prepareEngine, type PreparedEngine } from "@memory-r1/engine";
import {
  renderCsv,
  renderMarkdown,
  sha256Of,
  sha256OfFile,
  type TableData,
  writeResult,
} from "@memory-r1/report";
import { ConfigError, HarnessError, parseJson } from "@memory-r1/spec";
import { z } from "zod";
import {
  parseCount,
  readFlags,
  readTrainingOptions,
  runCommand,
  trainingFlags,
  type TrainingOptions,
  writeCommand,
} from "../common/command-line.ts";
import { watchSignals } from "../common/interrupt.ts";
import { describeMachine, readCommit } from "../common/provenance.ts";
import { runWorker } from "../common/run-worker.ts";
import {
  type Bench,
  measurePair,
  modes,
  type Observation,
  prepareEngines,
  workerEnvironment,
} from "../speed/measure-pair.ts";
import { measureMatmul } from "../speed/matmul.ts";
import { formatShape, parseShapes, type Shape } from "../speed/shapes.ts";
import {
  comparisonTable,
  matmulTable,
  measurementTable,
  summarise,
  summaryTable,
} from "../speed/summary.ts";

const resultName = "gpu-training";
const modelShapes = ["qwen2.5-3b", "tiny"] as const;

const repositoryRoot = fileURLToPath(new URL("../../..", import.meta.url));
const gpuDirectory = join(repositoryRoot, "benchmarks", "gpu");
const speedDirectory = join(repositoryRoot, "benchmarks", "speed");

const help = `Checks and measures GRPO training on a GPU beside TRL's GRPOTrainer, in bfloat16, on a model of random weights.

  --device cuda             cuda, cuda:1, or cpu to try the command
  --shape qwen2.5-3b        of the model: ${modelShapes.join(", ")}
  --groups 350+16,1000+64   prompt tokens + completion tokens, groups of 8 (x16: of 16)
  --trl-pass 8              completions that TRL's update takes at once: fewer need less memory
  --repetitions 3           measured steps of each engine, in turns
  --threads 2
  --seed 0
  --output results          folder for ${resultName}.csv and its manifest
`;

interface Options extends TrainingOptions {
  readonly device: string;
  readonly modelShape: (typeof modelShapes)[number];
  readonly groups: readonly Shape[];
  readonly trlPass: number;
  readonly command: string;
}

function readOptions(): Options | undefined {
  const values = readFlags({
    device: { type: "string", default: "cuda" },
    shape: { type: "string", default: "qwen2.5-3b" },
    groups: { type: "string", default: "350+16,1000+64" },
    "trl-pass": { type: "string", default: "8" },
    ...trainingFlags,
  });
  if (values.help) return undefined;
  const modelShape = modelShapes.find((name) => name === values.shape);
  if (modelShape === undefined) {
    throw new ConfigError(
      `--shape: "${values.shape}" is unknown. There are ${modelShapes.join(", ")}.`,
    );
  }
  if (!/^(cpu|cuda(:\d+)?)$/.test(values.device)) {
    throw new ConfigError(`--device: "${values.device}" is none. Write cuda, cuda:1 or cpu.`);
  }
  const { help: _help, output: _output, ...measured } = values;
  return {
    ...readTrainingOptions(values, repositoryRoot),
    device: values.device,
    modelShape,
    groups: parseShapes("--groups", values.groups),
    trlPass: parseCount("--trl-pass", values["trl-pass"], 1),
    command: writeCommand("bench:gpu", measured),
  };
}

function say(line: string): void {
  console.error(line);
}

/** The folder of a model of random weights, made where it is missing. */
async function prepareModel(
  prepared: PreparedEngine,
  modelShape: string,
  bench: Pick<Bench, "threads" | "signal">,
): Promise<string> {
  const script = join(gpuDirectory, "make_model.py");
  const version = (await sha256OfFile(script)).slice(0, 8);
  const directory = join(prepared.cacheDirectory, "benchmarks", `random-${modelShape}-${version}`);
  if (existsSync(directory)) return directory;
  say(`making a model of random weights in ${directory} (once)`);
  await runWorker({
    command: prepared.python,
    arguments: [script, "--shape", modelShape, "--directory", directory],
    environment: workerEnvironment(bench.threads),
    signal: bench.signal,
  });
  return directory;
}

const gradientsSchema = z.strictObject({
  deviceName: z.string(),
  torch: z.string(),
  /** From the float32 gradient of separate rows, relative to its norm. */
  distances: z.record(z.string(), z.number().nonnegative()),
  passed: z.boolean(),
});
type Gradients = z.infer<typeof gradientsSchema>;

async function checkGradients(
  prepared: PreparedEngine,
  bench: Bench,
  shape: Shape,
): Promise<Gradients> {
  say(`gradients ${formatShape(shape)}: packed against separate rows, float32 and bfloat16`);
  const flags = {
    model: bench.modelDirectory,
    device: bench.device,
    seed: bench.seed,
    "group-size": shape.groupSize,
    "prompt-tokens": shape.promptTokens,
    "completion-tokens": shape.completionTokens,
  };
  const output = await runWorker({
    command: prepared.python,
    arguments: [
      join(gpuDirectory, "gradients.py"),
      ...Object.entries(flags).flatMap(([flag, value]) => [`--${flag}`, String(value)]),
    ],
    modulePath: [join(prepared.engineDirectory, "src")],
    environment: workerEnvironment(bench.threads),
    signal: bench.signal,
  });
  const gradients = parseJson(output, gradientsSchema, "output of gradients.py");
  say(`gradients ${formatShape(shape)}: ${JSON.stringify(gradients.distances)}`);
  if (!gradients.passed) {
    throw new HarnessError(
      "benchmark",
      `${formatShape(shape)}: packed rows give other gradients than separate ones: ${JSON.stringify(gradients.distances)}`,
    );
  }
  return gradients;
}

function gradientTable(found: readonly { shape: Shape; gradients: Gradients }[]): TableData {
  return {
    title: "Distance from the float32 gradient of separate rows, relative to its norm",
    columns: [
      { key: "shape", label: "shape", kind: "text" },
      { key: "gradient", label: "gradient", kind: "text" },
      { key: "distance", label: "distance", kind: "text" },
    ],
    rows: found.flatMap(({ shape, gradients }) =>
      Object.entries(gradients.distances).map(([gradient, distance]) => ({
        shape: formatShape(shape),
        gradient,
        distance: distance.toExponential(2),
      })),
    ),
    notes: [],
  };
}

async function run(options: Options): Promise<void> {
  const startMs = performance.now();
  const createdAt = new Date().toISOString();
  const { device, groups, modelShape, repetitions, seed, threads, trlPass } = options;
  const code = await readCommit(repositoryRoot);
  const prepared = await prepareEngine({ logger: { info: say, warn: say } });
  const engines = await prepareEngines({
    prepared,
    sourceDirectory: speedDirectory,
    trlPass,
    say,
  });
  const interrupt = watchSignals();
  const { signal } = interrupt;
  try {
    const modelDirectory = await prepareModel(prepared, modelShape, { threads, signal });
    const bench: Bench = {
      engines,
      modelDirectory,
      randomWeights: true,
      device,
      threads,
      seed,
      say,
      signal,
    };
    const gradients = [];
    for (const shape of groups) {
      gradients.push({ shape, gradients: await checkGradients(prepared, bench, shape) });
    }
    const rows = Math.max(...groups.map(({ promptTokens }) => promptTokens));
    const matmul = await measureMatmul(bench, {
      prepared,
      sourceDirectory: speedDirectory,
      dtype: "bfloat16",
      rows,
    });
    const observations: Observation[] = [];
    const flops = new Map<string, number>();
    const versions: Record<string, string> = { node: process.version };
    const prompts: Record<string, string> = {};
    for (const shape of groups) {
      for (const mode of modes) {
        const measured = await measurePair(
          bench,
          { mode, shape, dtype: "bfloat16" },
          {
            repetitions: Array.from({ length: repetitions }, (_, index) => index + 1),
            countFlops: mode === "update",
            keep: async (observation) => void observations.push(observation),
          },
        );
        if (measured.flops !== undefined) flops.set(formatShape(shape), measured.flops);
        for (const [name, facts] of measured.facts) {
          prompts[formatShape(shape)] = facts.promptsSha256;
          for (const [library, version] of Object.entries(facts.versions)) {
            versions[`${name}: ${library}`] = version;
          }
        }
      }
    }

    const summaries = summarise(observations);
    const tables = [
      comparisonTable(summaries, flops, [matmul]),
      gradientTable(gradients),
      matmulTable([matmul]),
    ];
    const deviceName = gradients[0]?.gradients.deviceName ?? device;
    const note = `${deviceName}, ${modelShape} with random weights, commit ${code.commit ?? "unknown"}, seed ${seed}`;
    const markdown = tables
      .map((table) => renderMarkdown({ ...table, notes: [...table.notes, note] }))
      .join("\n");
    await writeResult({
      directory: options.output,
      files: {
        [`${resultName}.csv`]: renderCsv(summaryTable(summaries, flops, [matmul])),
        [`${resultName}.measurements.csv`]: renderCsv(measurementTable(observations)),
        [`${resultName}.gradients.csv`]: renderCsv(gradientTable(gradients)),
        [`${resultName}.matmul.csv`]: renderCsv(matmulTable([matmul])),
        [`${resultName}.md`]: markdown,
      },
      manifestName: `${resultName}.manifest.json`,
      manifest: {
        schemaVersion: 1,
        experiment: resultName,
        command: options.command,
        code,
        createdAt,
        configuration: { device, deviceName, modelShape, repetitions, threads, trlPass },
        dataset: { name: "generated prompts", sha256: sha256Of(JSON.stringify(prompts)) },
        prompts,
        models: [
          {
            role: "policy",
            name: `${modelShape} with random weights`,
            revision: `sha256:${await sha256OfFile(join(gpuDirectory, "make_model.py"))}`,
            source: "make_model.py",
          },
        ],
        seeds: { run: seed },
        versions,
        machine: describeMachine(),
        durationSeconds: (performance.now() - startMs) / 1000,
      },
    });
    console.log(markdown);
    say(`Written: ${join(options.output, `${resultName}.csv`)}`);
  } finally {
    interrupt.dispose();
  }
}

await runCommand(help, readOptions, run);
