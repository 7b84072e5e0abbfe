import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import {
  ConfigError,
  constraintSchema,
  createRandom,
  deriveSeed,
  parseJson,
  shuffled,
} from "@memory-r1/spec";
import { z } from "zod";

/** A chat and how its next turn should read. A line of a traces file. */
export const traceSchema = z.strictObject({
  /** The chat as the agent is shown it, system prompt included. */
  messages: z
    .array(z.strictObject({ role: z.enum(["system", "user", "assistant"]), content: z.string() }))
    .min(1),
  /** The assistant's turn, without the token that ends it. */
  completion: z.string().min(1),
  /** The grammar that the agent will be sampled under: then probabilities are those among what it allows. */
  constraint: constraintSchema.optional(),
});
export type Trace = z.infer<typeof traceSchema>;

/**
 * Reads traces from a JSONL file, one a line; empty lines are skipped.
 * @throws ConfigError if there is no such file, or it holds no trace
 * @throws DataFormatError naming the line that is no trace
 */
export async function readTraces(path: string): Promise<readonly Trace[]> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new ConfigError(
      `cannot read the traces file ${path}: name a JSONL file of {"messages": [...], "completion": "..."}`,
      error,
    );
  }
  const traces = text
    .split("\n")
    .flatMap((line, index) =>
      line.trim() === "" ? [] : [parseJson(line, traceSchema, `${path}, line ${index + 1}`)],
    );
  if (traces.length === 0)
    throw new ConfigError(`the traces file ${path} holds no trace: write one a line`);
  return traces;
}

/** What a resumed run must share with the one that was interrupted. */
export function hashTraces(traces: readonly Trace[]): string {
  return createHash("sha256").update(JSON.stringify(traces)).digest("hex");
}

/**
 * The traces of 0-based `step`: the next `size` of an endless row of shuffles of all of them, so that a resumed run needs
 * the step alone.
 */
export function drawTraces(
  traces: readonly Trace[],
  step: number,
  size: number,
  seed: number,
): readonly Trace[] {
  const shuffles = new Map<number, readonly Trace[]>();
  const shuffleOf = (pass: number): readonly Trace[] => {
    const order = shuffles.get(pass) ?? shuffled(traces, createRandom(deriveSeed(seed, pass)));
    shuffles.set(pass, order);
    return order;
  };
  return Array.from({ length: size }, (_, offset) => {
    const position = step * size + offset;
    const trace = shuffleOf(Math.floor(position / traces.length))[position % traces.length];
    if (trace === undefined) throw new RangeError("there are no traces to draw from");
    return trace;
  });
}
