import { parseJson } from "@memory-r1/spec";
import { z } from "zod";
import type { CriticSequence, Decision } from "../datums.ts";
import type { CriticEngine } from "../policy-engine.ts";
import { computeValueLoss } from "../value-loss.ts";
import { stepAdam, type AdamRow } from "./adam.ts";

const stateSchema = z.strictObject({
  optimizerSteps: z.number(),
  rows: z.array(
    z.tuple([
      z.string(),
      z.strictObject({
        values: z.array(z.number()),
        mean: z.array(z.number()),
        square: z.array(z.number()),
      }),
    ]),
  ),
});

export interface TabularCriticOptions {
  /** Saved states by path: what survives the engine. */
  readonly storage?: Map<string, string>;
  /** Comes first in every call; a throw is the engine's. */
  readonly onCall?: (method: keyof CriticEngine) => void;
}

export interface TabularCritic extends CriticEngine {
  readonly trained: CriticSequence[][];
  /** The value of the first token after a prompt. */
  value(prompt: string): number;
}

/** A real critic in a few lines: one number, 0 at first, for every (prompt, tokens so far), trained by Adam. */
export function createTabularCritic(options: TabularCriticOptions = {}): TabularCritic {
  const storage = options.storage ?? new Map<string, string>();
  let optimizerSteps = 0;
  let rows = new Map<string, AdamRow>();
  let gradients = new Map<string, number>();
  const trained: CriticSequence[][] = [];
  const keyOf = (prompt: readonly number[], prefix: readonly number[]): string =>
    `${prompt.join(",")}|${prefix.join(",")}`;
  const keysOf = ({ promptTokens, completionTokens }: Omit<Decision, "logProbs">): string[] =>
    completionTokens.map((_, position) => keyOf(promptTokens, completionTokens.slice(0, position)));
  const valueOf = (key: string): number => rows.get(key)?.values[0] ?? 0;

  return {
    trained,
    value: (prompt) =>
      valueOf(
        keyOf(
          Array.from(prompt, (letter) => letter.codePointAt(0) ?? 0),
          [],
        ),
      ),
    async values(decisions) {
      options.onCall?.("values");
      return decisions.map((decision) => keysOf(decision).map(valueOf));
    },
    async forwardBackward(sequences, clip) {
      options.onCall?.("forwardBackward");
      trained.push([...sequences]);
      const values = sequences.map((sequence) => keysOf(sequence).map(valueOf));
      for (const [index, sequence] of sequences.entries())
        for (const [token, key] of keysOf(sequence).entries()) {
          const { slope } = computeValueLoss(
            values[index]?.[token] ?? Number.NaN,
            sequence.values[token] ?? Number.NaN,
            sequence.returns[token] ?? Number.NaN,
            { clip },
          );
          const weight = sequence.weights[token] ?? Number.NaN;
          gradients.set(key, (gradients.get(key) ?? 0) + weight * slope);
        }
      return { values };
    },
    async optimStep(adam) {
      options.onCall?.("optimStep");
      optimizerSteps += 1;
      let norm = 0;
      for (const [key, gradient] of gradients) {
        const row = rows.get(key) ?? { values: [0], mean: [0], square: [0] };
        rows.set(key, row);
        norm += stepAdam(row, [gradient], optimizerSteps, adam);
      }
      gradients = new Map();
      return { gradientNorm: Math.sqrt(norm) };
    },
    async saveState(name) {
      options.onCall?.("saveState");
      storage.set(`critic/${name}`, JSON.stringify({ optimizerSteps, rows: [...rows] }));
      return `critic/${name}`;
    },
    async loadState(path) {
      const state = parseJson(storage.get(path) ?? "", stateSchema, path);
      optimizerSteps = state.optimizerSteps;
      rows = new Map(state.rows);
    },
  };
}
