import { appendFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { ConfigError, parseJson } from "@memory-r1/spec";
import { z } from "zod";
import { loopObservationSchema, type LoopObservation } from "./loop-observation.ts";
import { matmulSchema, type Matmul } from "./matmul.ts";
import { formatTask, observationSchema, type Observation, type Task } from "./measure-pair.ts";

/** What every measurement of a journal has in common: a run with another one begins a new journal. */
const identitySchema = z.strictObject({
  commit: z.string().nullable(),
  dirty: z.boolean(),
  seed: z.int(),
  threads: z.int(),
  trlPass: z.string(),
  modelRevision: z.string(),
  cpu: z.string(),
  cores: z.int(),
});
export type JournalIdentity = z.infer<typeof identitySchema>;

const lineSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("start"), identity: identitySchema }),
  z.strictObject({ type: z.literal("step"), observation: observationSchema }),
  z.strictObject({
    type: z.literal("facts"),
    versions: z.record(z.string(), z.string()),
    trainableParameters: z.int(),
    shape: z.string(),
    promptsSha256: z.string(),
  }),
  z.strictObject({ type: z.literal("flops"), shape: z.string(), flops: z.int().positive() }),
  z.strictObject({ type: z.literal("matmul"), matmul: matmulSchema }),
  z.strictObject({ type: z.literal("loop"), loop: loopObservationSchema }),
  /** One start of the command, at its end. */
  z.strictObject({
    type: z.literal("sitting"),
    command: z.string(),
    loadAverageBefore: z.number().nonnegative(),
    seconds: z.number().nonnegative(),
  }),
]);
export type JournalLine = z.infer<typeof lineSchema>;

/** Measurements that outlive an interruption, one JSON line each, written when they are made. */
export interface Journal {
  readonly lines: readonly JournalLine[];
  append(line: JournalLine): Promise<void>;
}

/**
 * Opens a journal or begins it. A last line that was cut is dropped.
 * @throws ConfigError if the journal is of another commit, machine or setting. DataFormatError for a line that is none.
 */
export async function openJournal(path: string, identity: JournalIdentity): Promise<Journal> {
  const text = await readOptional(path);
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  const lines = whole
    .split("\n")
    .filter((line) => line !== "")
    .map((line, index) => parseJson(line, lineSchema, `${path}:${index + 1}`));
  const [first] = lines;
  if (first !== undefined) checkIdentity(path, first, identity);
  await mkdir(dirname(path), { recursive: true });
  if (whole !== text) await writeFile(path, whole);

  async function append(line: JournalLine): Promise<void> {
    await appendFile(path, `${JSON.stringify(line)}\n`);
    lines.push(line);
  }
  if (first === undefined) await append({ type: "start", identity });
  return { lines, append };
}

async function readOptional(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
    throw error;
  }
}

function checkIdentity(path: string, first: JournalLine, identity: JournalIdentity): void {
  const found = first.type === "start" ? first.identity : undefined;
  const differing = Object.entries(identity).filter(
    ([key, value]) => Object.entries(found ?? {}).find(([name]) => name === key)?.[1] !== value,
  );
  if (differing.length === 0) return;
  throw new ConfigError(
    `${path} holds measurements with another ${differing.map(([key]) => key).join(", ")}: ` +
      "measure again from the start with --fresh, or keep it and give another --journal.",
  );
}

/** Every measured step, in the order in which they were measured; of one that was measured again the later. */
export function observationsOf(journal: Journal): readonly Observation[] {
  const found = new Map<string, Observation>();
  for (const line of journal.lines) {
    if (line.type !== "step") continue;
    const { engine, repetition } = line.observation;
    found.set(`${formatTask(line.observation)} ${engine} ${repetition}`, line.observation);
  }
  return [...found.values()];
}

export function loopsOf(journal: Journal): readonly LoopObservation[] {
  return journal.lines.flatMap((line) => (line.type === "loop" ? [line.loop] : []));
}

export function matmulsOf(journal: Journal): readonly Matmul[] {
  return journal.lines.flatMap((line) => (line.type === "matmul" ? [line.matmul] : []));
}

/** Operations of one update of the engine, by shape: they do not depend on the numbers' type. */
export function flopsOf(journal: Journal): ReadonlyMap<string, number> {
  return new Map(
    journal.lines.flatMap((line) => (line.type === "flops" ? [[line.shape, line.flops]] : [])),
  );
}

/** Which of the repetitions 1 to `count` are still to be measured: those that some engine lacks. */
export function missingRepetitions(
  journal: Journal,
  task: Task,
  engines: readonly string[],
  count: number,
): readonly number[] {
  const done = new Set(
    observationsOf(journal)
      .filter((observation) => formatTask(observation) === formatTask(task))
      .map(({ engine, repetition }) => `${repetition} ${engine}`),
  );
  return Array.from({ length: count }, (_, index) => index + 1).filter((repetition) =>
    engines.some((engine) => !done.has(`${repetition} ${engine}`)),
  );
}
