/** `pnpm bench:speed`: training with this project's engine beside TRL. See README.md. */
import { rm } from "node:fs/promises";
import { loadavg } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { prepareEngine, type PreparedEngine } from "@memory-r1/engine";
import { renderCsv, renderMarkdown, sha256Of, writeResult } from "@memory-r1/report";
import { ConfigError } from "@memory-r1/spec";
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
import { type Curves, renderCurves } from "./curve-plot.ts";
import {
  flopsOf,
  loopsOf,
  matmulsOf,
  missingRepetitions,
  observationsOf,
  openJournal,
  type Journal,
} from "./journal.ts";
import { measureLoop } from "./measure-loop.ts";
import { type Bench, formatTask, measurePair, prepareEngines, type Task } from "./measure-pair.ts";
import { measureMatmul } from "./matmul.ts";
import { formatShape, parseShapes, type Shape } from "./shapes.ts";
import {
  comparisonTable,
  loopShareTable,
  loopTable,
  matmulTable,
  measurementTable,
  type Summary,
  summarise,
  summaryTable,
} from "./summary.ts";

const resultName = "speed-training";
const modelName = "smollm2-135m-instruct";
const sections = ["matmul", "update", "step", "loop", "curve"] as const;
type Section = (typeof sections)[number];

// This file runs from benchmarks/dist/speed; the workers lie beside its source.
const repositoryRoot = fileURLToPath(new URL("../../..", import.meta.url));
const sourceDirectory = join(repositoryRoot, "benchmarks", "speed");

const help = `Measures GRPO training with this project's engine beside TRL's GRPOTrainer. A run that was interrupted goes on.

  --sections ${sections.join(",")}
                                       matmul  what the machine's matrix products reach
                                       update  loss, backward pass and optimiser on given completions
                                       step    sampling, rewards and update
                                       loop    the share of TypeScript in a step of the real loop (ours alone)
                                       curve   the update against the prompt's length and the group's size, as a plot
  --shapes 350+16,1000+64,3000+64      of the updates: prompt tokens + completion tokens, groups of 8 (x16: of 16)
  --step-shapes 350+16,1000+64         of whole steps and of the loop
  --bfloat16-shapes 350+16             of the updates in bfloat16; none: leave them out
  --curve-prompts 100,350,1000,2000    lengths, with groups of 8 and completions of 16
  --curve-groups 2,4,8,16,32           sizes, with prompts of 350 and completions of 16
  --repetitions 3                      measured steps of each engine, in turns
  --trl-pass auto                      completions that TRL's update takes at once: 1, 2, …, or as many as memory should hold
  --threads 2
  --seed 0
  --journal runs/${resultName}.jsonl   what is measured already
  --fresh                              forget it
  --output results                     folder for ${resultName}.csv, .svg, .md and the manifest
`;

interface Options extends TrainingOptions {
  readonly sections: readonly Section[];
  readonly updates: readonly Task[];
  readonly steps: readonly Task[];
  readonly curves: Curves;
  readonly trlPass: number | undefined;
  readonly journal: string;
  readonly fresh: boolean;
  /** What a person types for this sitting. */
  readonly command: string;
}

function readOptions(): Options | undefined {
  const values = readFlags({
    sections: { type: "string", default: sections.join(",") },
    shapes: { type: "string", default: "350+16,1000+64,3000+64" },
    "step-shapes": { type: "string", default: "350+16,1000+64" },
    "bfloat16-shapes": { type: "string", default: "350+16" },
    "curve-prompts": { type: "string", default: "100,350,1000,2000" },
    "curve-groups": { type: "string", default: "2,4,8,16,32" },
    "trl-pass": { type: "string", default: "auto" },
    journal: { type: "string", default: `runs/${resultName}.jsonl` },
    fresh: { type: "boolean", default: false },
    ...trainingFlags,
  });
  if (values.help) return undefined;
  const shapes = parseShapes("--shapes", values.shapes);
  const bfloat16Shapes =
    values["bfloat16-shapes"] === "none"
      ? []
      : parseShapes("--bfloat16-shapes", values["bfloat16-shapes"]);
  const trlPass = values["trl-pass"];
  const { help: _help, fresh, output: _output, journal, ...measured } = values;
  return {
    ...readTrainingOptions(values, repositoryRoot),
    sections: parseSections(values.sections),
    updates: [
      ...shapes.map((shape): Task => ({ mode: "update", shape, dtype: "float32" })),
      ...bfloat16Shapes.map((shape): Task => ({ mode: "update", shape, dtype: "bfloat16" })),
    ],
    steps: parseShapes("--step-shapes", values["step-shapes"]).map((shape): Task => ({
      mode: "step",
      shape,
      dtype: "float32",
    })),
    curves: {
      byPrompt: parseNumbers("--curve-prompts", values["curve-prompts"], 1).map((promptTokens) => ({
        promptTokens,
        completionTokens: 16,
        groupSize: 8,
      })),
      byGroup: parseNumbers("--curve-groups", values["curve-groups"], 2).map((groupSize) => ({
        promptTokens: 350,
        completionTokens: 16,
        groupSize,
      })),
    },
    trlPass: trlPass === "auto" ? undefined : parseCount("--trl-pass", trlPass, 1),
    journal: resolve(repositoryRoot, journal),
    fresh,
    command: writeCommand("bench:speed", measured),
  };
}

/** In the order in which they are measured, whatever order they are asked for in. */
function parseSections(text: string): readonly Section[] {
  const asked = text.split(",");
  const known: readonly string[] = sections;
  const unknown = asked.find((name) => !known.includes(name));
  if (unknown !== undefined) {
    throw new ConfigError(`--sections: "${unknown}" is unknown. There are ${sections.join(", ")}.`);
  }
  return sections.filter((section) => asked.includes(section));
}

function parseNumbers(flag: string, text: string, smallest: number): readonly number[] {
  return text.split(",").map((part) => parseCount(flag, part, smallest));
}

function say(line: string): void {
  console.error(line);
}

/** Measures what a task lacks. The counted operations and what both engines said of themselves are kept, too. */
async function measureTask(
  bench: Bench,
  journal: Journal,
  task: Task,
  repetitions: number,
): Promise<void> {
  const names = bench.engines.map(({ name }) => name);
  const missing = missingRepetitions(journal, task, names, repetitions);
  if (missing.length === 0) return;
  const shape = formatShape(task.shape);
  const { facts, flops } = await measurePair(bench, task, {
    repetitions: missing,
    // In float32, where it takes seconds: the operations of a shape are the same in any type.
    countFlops: task.mode === "update" && task.dtype === "float32" && !flopsOf(journal).has(shape),
    keep: (observation) => journal.append({ type: "step", observation }),
  });
  if (flops !== undefined) await journal.append({ type: "flops", shape, flops });
  for (const [name, { versions, trainableParameters, promptsSha256 }] of facts) {
    const named = Object.entries(versions).map(([library, version]): [string, string] => [
      `${name}: ${library}`,
      version,
    ]);
    await journal.append({
      type: "facts",
      versions: Object.fromEntries(named),
      trainableParameters,
      shape,
      promptsSha256,
    });
  }
}

/** One section, as far as the journal lacks it. */
async function measureSection(
  section: Section,
  bench: Bench,
  prepared: PreparedEngine,
  journal: Journal,
  options: Options,
): Promise<void> {
  const { repetitions, updates, steps, curves, threads, seed } = options;
  switch (section) {
    case "matmul":
      for (const dtype of new Set(updates.map((task) => task.dtype))) {
        if (matmulsOf(journal).some((matmul) => matmul.dtype === dtype)) continue;
        say(`matmul ${dtype}`);
        // As many rows as the smallest update's packed row has.
        const rows = Math.min(...updates.map(({ shape }) => rowTokensOf(shape)));
        const matmul = await measureMatmul(bench, { prepared, sourceDirectory, dtype, rows });
        await journal.append({ type: "matmul", matmul });
      }
      return;
    case "update":
      for (const task of updates) await measureTask(bench, journal, task, repetitions);
      return;
    case "step":
      for (const task of steps) await measureTask(bench, journal, task, repetitions);
      return;
    case "loop":
      for (const { shape, dtype } of steps) {
        const done = loopsOf(journal).filter((loop) => loop.shape === formatShape(shape));
        if (done.length >= repetitions) continue;
        say(`loop ${formatShape(shape)} ${dtype}`);
        const { signal } = bench;
        const measured = await measureLoop({
          prepared,
          shape,
          dtype,
          threads,
          seed,
          repetitions,
          signal,
        });
        for (const loop of measured) await journal.append({ type: "loop", loop });
      }
      return;
    case "curve":
      for (const shape of [...curves.byPrompt, ...curves.byGroup]) {
        await measureTask(bench, journal, { mode: "update", shape, dtype: "float32" }, repetitions);
      }
  }
}

/** Positions of a packed row: the prompt once, and each completion but its last token. */
function rowTokensOf({ promptTokens, completionTokens, groupSize }: Shape): number {
  return promptTokens + groupSize * (completionTokens - 1);
}

async function run(options: Options): Promise<void> {
  const startMs = performance.now();
  const createdAt = new Date().toISOString();
  const { seed, threads } = options;
  const code = await readCommit(repositoryRoot);
  const machine = describeMachine();
  const prepared = await prepareEngine({ model: modelName, logger: { info: say, warn: say } });
  const engines = await prepareEngines({
    prepared,
    sourceDirectory,
    trlPass: options.trlPass,
    say,
  });
  const [load = 0] = loadavg();
  if (load > 0.5) {
    say(`The machine is busy (load ${load.toFixed(1)}): times will be too long and uneven.`);
  }
  if (options.fresh) await rm(options.journal, { force: true });
  const journal = await openJournal(options.journal, {
    ...code,
    seed,
    threads,
    trlPass: String(options.trlPass ?? "auto"),
    modelRevision: prepared.model.revision,
    cpu: machine.cpu,
    cores: machine.cores,
  });
  const interrupt = watchSignals();
  try {
    const bench: Bench = {
      engines,
      modelDirectory: prepared.model.directory,
      randomWeights: false,
      device: "cpu",
      threads,
      seed,
      say,
      signal: interrupt.signal,
    };
    for (const section of options.sections) {
      await measureSection(section, bench, prepared, journal, options);
    }
  } catch (error) {
    if (interrupt.signal.aborted) say("What was measured is kept: the same command goes on.");
    throw error;
  } finally {
    interrupt.dispose();
    await journal.append({
      type: "sitting",
      command: options.command,
      loadAverageBefore: load,
      seconds: (performance.now() - startMs) / 1000,
    });
  }
  await writeResults(journal, options, { code, createdAt, machine, model: prepared.model });
}

/** A plot without some of its points would mislead. */
function areMeasured({ byPrompt, byGroup }: Curves, summaries: readonly Summary[]): boolean {
  const measured = new Set(summaries.map(formatTask));
  return [...byPrompt, ...byGroup].every((shape) =>
    measured.has(formatTask({ mode: "update", shape, dtype: "float32" })),
  );
}

async function writeResults(
  journal: Journal,
  options: Options,
  facts: {
    readonly code: Awaited<ReturnType<typeof readCommit>>;
    readonly createdAt: string;
    readonly machine: ReturnType<typeof describeMachine>;
    readonly model: PreparedEngine["model"];
  },
): Promise<void> {
  const { model, ...provenance } = facts;
  const observations = observationsOf(journal);
  const [matmuls, loops, flops] = [matmulsOf(journal), loopsOf(journal), flopsOf(journal)];
  const summaries = summarise(observations);
  const prompts: Record<string, string> = {};
  const versions: Record<string, string> = { node: process.version };
  const sittings = journal.lines.flatMap((line) => (line.type === "sitting" ? [line] : []));
  let trainableParameters = 0;
  for (const line of journal.lines) {
    if (line.type !== "facts") continue;
    prompts[`${line.shape} (${line.promptsSha256.slice(0, 8)})`] = line.promptsSha256;
    Object.assign(versions, line.versions);
    ({ trainableParameters } = line);
  }
  const tables = [
    comparisonTable(summaries, flops, matmuls),
    loopShareTable(loops),
    matmulTable(matmuls),
  ].filter(({ rows }) => rows.length > 0);
  const commands = [...new Set(sittings.map(({ command }) => command))];
  const note = `${provenance.machine.cpu}, ${options.threads} threads, commit ${provenance.code.commit ?? "unknown"}, seed ${options.seed}`;
  const markdown = tables
    .map((table) => renderMarkdown({ ...table, notes: [...table.notes, note] }))
    .join("\n");
  await writeResult({
    directory: options.output,
    files: {
      [`${resultName}.csv`]: renderCsv(summaryTable(summaries, flops, matmuls)),
      [`${resultName}.measurements.csv`]: renderCsv(measurementTable(observations)),
      [`${resultName}.matmul.csv`]: renderCsv(matmulTable(matmuls)),
      [`${resultName}.loop.csv`]: renderCsv(loopTable(loops)),
      [`${resultName}.md`]: markdown,
      ...(areMeasured(options.curves, summaries)
        ? { [`${resultName}.svg`]: await renderCurves(summaries, options.curves) }
        : {}),
    },
    manifestName: `${resultName}.manifest.json`,
    manifest: {
      ...provenance,
      schemaVersion: 1,
      experiment: resultName,
      command: commands.join(" && "),
      configuration: {
        tasks: summaries.length / 2,
        repetitions: options.repetitions,
        threads: options.threads,
        trlPass: options.trlPass ?? "auto",
        trainableParameters,
        loadAverageBefore: sittings.map(({ loadAverageBefore }) => loadAverageBefore),
      },
      dataset: { name: "generated prompts", sha256: sha256Of(JSON.stringify(prompts)) },
      prompts,
      models: [
        { role: "policy", name: model.name, revision: model.revision, source: model.source },
      ],
      seeds: { run: options.seed },
      versions,
      durationSeconds: sittings.reduce((sum, { seconds }) => sum + seconds, 0),
    },
  });
  console.log(markdown);
  say(`Written: ${join(options.output, `${resultName}.csv`)}`);
}

await runCommand(help, readOptions, run);
