import {
  createRandom,
  parseJson,
  type GenerateRequest,
  type GenerateResult,
} from "@memory-r1/spec";
import { z } from "zod";
import type { Decision, ImitatedSequence, TrainingSequence } from "../datums.ts";
import type { BackwardResult, PolicyEngine } from "../policy-engine.ts";
import { computeTokenLosses, type PolicyLoss } from "../policy-loss.ts";
import { stepAdam, type AdamRow } from "./adam.ts";

/** Token 0 ends a completion; the others are letters. */
const letters = [".", "a", "b", "c"] as const;

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

export interface SoftmaxEngineOptions {
  /** Saved states by path: what survives the engine. */
  readonly storage?: Map<string, string>;
  /** A reason makes the request fail; a throw ends the call. */
  readonly fail?: (request: GenerateRequest) => string | undefined;
  /** Comes first in every call of the engine; a throw is the engine's. */
  readonly onCall?: (method: keyof PolicyEngine) => void;
  /** Changes what the trainer sees, as a broken engine would. */
  readonly distort?: (logProb: number) => number;
}

export interface SoftmaxEngine extends PolicyEngine {
  /** Probability of a letter as the first token after a prompt. */
  probability(prompt: string, letter: string): number;
  readonly requests: GenerateRequest[];
  readonly trained: TrainingSequence[][];
  readonly imitated: ImitatedSequence[][];
  /** Accumulated gradient of one logit. */
  gradient(prompt: string, prefix: readonly number[], token: number): number;
  nudge(prompt: string, prefix: readonly number[], token: number, delta: number): void;
  forward(decision: Omit<Decision, "logProbs">): readonly number[];
}

/**
 * A real policy in a few lines: one softmax over four tokens for every (prompt, tokens so far), trained by Adam with a
 * gradient written by hand. Sampling uses the weights of the last refresh, as an engine does.
 */
export function createSoftmaxEngine(options: SoftmaxEngineOptions = {}): SoftmaxEngine {
  const storage = options.storage ?? new Map<string, string>();
  let optimizerSteps = 0;
  let rows = new Map<string, AdamRow>();
  let samplerRows = new Map<string, AdamRow>();
  let gradients = new Map<string, number[]>();
  const requests: GenerateRequest[] = [];
  const trained: TrainingSequence[][] = [];
  const imitated: ImitatedSequence[][] = [];

  const zeros = (): number[] => letters.map(() => 0);
  const keyOf = (prompt: readonly number[], prefix: readonly number[]): string =>
    `${prompt.join(",")}|${prefix.join(",")}`;
  const encode = (text: string): number[] =>
    Array.from(text, (letter) => letter.codePointAt(0) ?? 0);
  const encodeRequest = (request: GenerateRequest): number[] =>
    encode(request.messages.map((message) => message.content).join("\n"));
  const logProbsIn = (table: Map<string, AdamRow>, key: string): number[] => {
    const logits = table.get(key)?.values ?? zeros();
    const total = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
    return logits.map((logit) => logit - total);
  };
  const rowOf = (key: string): AdamRow => {
    const row = rows.get(key) ?? { values: zeros(), mean: zeros(), square: zeros() };
    rows.set(key, row);
    return row;
  };
  const forward = (decision: Omit<Decision, "logProbs">): number[] =>
    decision.completionTokens.map((token, position) => {
      const key = keyOf(decision.promptTokens, decision.completionTokens.slice(0, position));
      return logProbsIn(rows, key)[token] ?? Number.NaN;
    });

  function sampleOne(prompt: readonly number[], maxTokens: number, random: () => number) {
    const tokens: number[] = [];
    const logProbs: number[] = [];
    while (tokens.length < maxTokens && tokens.at(-1) !== 0) {
      const row = logProbsIn(samplerRows, keyOf(prompt, tokens));
      let left = random();
      let token = row.findIndex((logProb) => (left -= Math.exp(logProb)) < 0);
      if (token < 0) token = row.length - 1;
      tokens.push(token);
      logProbs.push(row[token] ?? Number.NaN);
    }
    return {
      tokens,
      logProbs,
      text: tokens.map((token) => (token === 0 ? "" : (letters[token] ?? "?"))).join(""),
      stopReason: tokens.at(-1) === 0 ? ("stop" as const) : ("length" as const),
    };
  }

  /** Adds the gradient of losses with these slopes per token, by log-probability. */
  function backward<Sequence extends Omit<Decision, "logProbs">>(
    sequences: readonly Sequence[],
    slopesOf: (sequence: Sequence, logProbs: readonly number[]) => readonly number[],
  ): BackwardResult {
    const logProbs = sequences.map((sequence) =>
      forward(sequence).map((logProb) => options.distort?.(logProb) ?? logProb),
    );
    for (const [index, sequence] of sequences.entries()) {
      const slopes = slopesOf(sequence, logProbs[index] ?? []);
      for (const [position, token] of sequence.completionTokens.entries()) {
        const key = keyOf(sequence.promptTokens, sequence.completionTokens.slice(0, position));
        const slope = slopes[position] ?? Number.NaN;
        // d log softmax_token / d logit_k = [k = token] - p_k
        const probabilities = logProbsIn(rows, key).map(Math.exp);
        const before = gradients.get(key) ?? zeros();
        gradients.set(
          key,
          before.map(
            (sum, k) => sum + slope * ((k === token ? 1 : 0) - (probabilities[k] ?? Number.NaN)),
          ),
        );
      }
    }
    return {
      logProbs,
      entropies: sequences.map((sequence) =>
        sequence.completionTokens.map((_, position) => {
          const key = keyOf(sequence.promptTokens, sequence.completionTokens.slice(0, position));
          return -logProbsIn(rows, key).reduce(
            (sum, logProb) => sum + Math.exp(logProb) * logProb,
            0,
          );
        }),
      ),
      tokensComputed: sequences.reduce(
        (sum, sequence) => sum + sequence.completionTokens.length,
        0,
      ),
    };
  }

  const save = (path: string): string => {
    storage.set(path, JSON.stringify({ optimizerSteps, rows: [...rows] }));
    return path;
  };

  return {
    description: "softmax over four tokens",
    requests,
    trained,
    imitated,
    forward,
    probability: (prompt, letter) =>
      Math.exp(
        logProbsIn(rows, keyOf(encode(prompt), []))[letters.findIndex((one) => one === letter)] ??
          Number.NaN,
      ),
    gradient: (prompt, prefix, token) => gradients.get(keyOf(encode(prompt), prefix))?.[token] ?? 0,
    nudge(prompt, prefix, token, delta) {
      const row = rowOf(keyOf(encode(prompt), prefix));
      row.values = row.values.map((logit, index) => (index === token ? logit + delta : logit));
    },
    async generate(batch) {
      requests.push(...batch);
      return batch.map((request): GenerateResult => {
        const reason = options.fail?.(request);
        if (reason !== undefined) return { status: "failed", reason };
        const promptTokens = encodeRequest(request);
        const random = createRandom(request.seed);
        const completions = Array.from({ length: request.count ?? 1 }, () =>
          sampleOne(promptTokens, request.maxTokens, random),
        );
        return { status: "completed", promptTokens, completions };
      });
    },
    async forwardBackward(sequences: readonly TrainingSequence[], loss: PolicyLoss) {
      options.onCall?.("forwardBackward");
      trained.push([...sequences]);
      return backward(sequences, (sequence, logProbs) =>
        computeTokenLosses(
          {
            logProbs,
            sampledLogProbs: sequence.logProbs,
            advantages: sequence.advantages,
            weights: sequence.weights,
            referenceLogProbs: sequence.referenceLogProbs,
          },
          loss,
        ).map(({ slope }) => slope),
      );
    },
    async imitate(sequences) {
      options.onCall?.("imitate");
      imitated.push([...sequences]);
      return backward(sequences, ({ weights }) => weights.map((weight) => -weight));
    },
    encodeCompletion: (messages, completion) => ({
      promptTokens: encode(messages.map((message) => message.content).join("\n")),
      completionTokens: [
        ...Array.from(completion, (letter) => letters.findIndex((one) => one === letter)),
        0,
      ],
    }),
    async optimStep(adam) {
      options.onCall?.("optimStep");
      optimizerSteps += 1;
      let norm = 0;
      for (const [key, gradient] of gradients) {
        norm += stepAdam(rowOf(key), gradient, optimizerSteps, adam);
      }
      gradients = new Map();
      return { gradientNorm: Math.sqrt(norm) };
    },
    async refreshSampler() {
      options.onCall?.("refreshSampler");
      samplerRows = structuredClone(rows);
    },
    async referenceLogProbs(decisions) {
      const uniform = Math.log(1 / letters.length);
      return decisions.map((decision) => decision.completionTokens.map(() => uniform));
    },
    async saveState(name) {
      options.onCall?.("saveState");
      return save(`state/${name}`);
    },
    async saveSamplerWeights(name) {
      options.onCall?.("saveSamplerWeights");
      return save(`sampler/${name}`);
    },
    async loadSamplerWeights(path) {
      options.onCall?.("loadSamplerWeights");
      optimizerSteps = 0;
      gradients = new Map();
      const state = parseJson(storage.get(path) ?? "", stateSchema, path);
      rows = new Map(
        state.rows.map(([key, row]) => [key, { ...row, mean: zeros(), square: zeros() }]),
      );
    },
    async loadState(path) {
      const state = parseJson(storage.get(path) ?? "", stateSchema, path);
      optimizerSteps = state.optimizerSteps;
      rows = new Map(state.rows);
    },
  };
}
