import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import {
  launchEngine,
  loadChatTokenizer,
  type ChatTokenizer,
  type PreparedEngine,
} from "@memory-r1/engine";
import { computeLocomoF1 } from "@memory-r1/metrics";
import {
  createRandom,
  deriveSeed,
  type Environment,
  type Episode,
  type PolicyPrompt,
} from "@memory-r1/spec";
import { createCheckpointRemover, createPolicyEngine, trainGrpo } from "@memory-r1/trainers";
import { pick } from "../common/pick.ts";
import type { LoopObservation } from "./loop-observation.ts";
import { formatShape, type Shape } from "./shapes.ts";

/** The first step compiles and fills caches, the last one also writes a checkpoint: neither is measured. */
const stepsAround = 2;
const charactersPerToken = 50;

/**
 * What TypeScript costs in a step of `trainGrpo`: the real loop, HTTP client, tokenizer and reward (F1), with the engine
 * in a process of its own. Prompts have the shape's tokens or a few more, completions exactly the shape's.
 */
export async function measureLoop(options: {
  readonly prepared: PreparedEngine;
  readonly shape: Shape;
  readonly dtype: LoopObservation["dtype"];
  readonly threads: number;
  readonly seed: number;
  readonly repetitions: number;
  readonly signal: AbortSignal;
}): Promise<readonly LoopObservation[]> {
  const { prepared, shape, dtype, seed, repetitions, signal } = options;
  const directory = await mkdtemp(join(tmpdir(), "memory-r1-speed-loop-"));
  const checkpointsDirectory = join(directory, "checkpoints");
  try {
    const engine = await launchEngine({
      prepared,
      checkpointsDirectory,
      logFile: join(directory, "engine.log"),
      dtype,
      threads: options.threads,
      signal,
    });
    try {
      const tokenizer = await loadChatTokenizer(engine.model.directory);
      const policy = await createPolicyEngine({
        client: engine.client,
        sessionId: await engine.client.createSession(),
        baseModel: engine.model.name,
        lora: { rank: 16, seed },
        tokenizer,
      });
      const steps = repetitions + stepsAround;
      // Written before the clock starts: a run finds its questions in the data.
      const prompts = Array.from({ length: steps }, (_, step) =>
        inventPrompt(shape, seed, step, tokenizer),
      );
      const observations: LoopObservation[] = [];
      let before = readUse();
      await trainGrpo({
        config: {
          steps,
          samplesPerTask: shape.groupSize,
          maxCompletionTokens: shape.completionTokens,
          learningRate: { peak: 1e-5 },
          validateEvery: steps,
          checkpointEvery: steps,
        },
        stage: "speed",
        runSeed: seed,
        fingerprint: "speed",
        environment: createEnvironment(shape, prompts),
        engine: policy,
        directory: join(directory, "run"),
        evaluate: async () => ({ score: 0, healthy: true, metrics: {} }),
        removeCheckpoint: createCheckpointRemover(checkpointsDirectory),
        signal,
        onProgress: (progress) => {
          if (progress.kind !== "step") return;
          const now = readUse();
          // `step` counts finished steps: 0 is the validation before the first.
          if (progress.step > 1 && progress.step < steps) {
            observations.push({
              shape: formatShape(shape),
              dtype,
              repetition: progress.step - 1,
              ...differenceOf(before, now),
            });
          }
          before = now;
        },
      });
      return observations;
    } finally {
      await engine.stop();
    }
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function readUse() {
  return {
    clockMs: performance.now(),
    busyMs: performance.eventLoopUtilization().active,
    processor: process.cpuUsage(),
  };
}

function differenceOf(before: ReturnType<typeof readUse>, now: ReturnType<typeof readUse>) {
  const used = process.cpuUsage(before.processor);
  return {
    stepSeconds: (now.clockMs - before.clockMs) / 1000,
    typescriptSeconds: (now.busyMs - before.busyMs) / 1000,
    typescriptProcessorSeconds: (used.user + used.system) / 1e6,
  };
}

interface SpeedEpisode extends Episode {
  readonly reward: () => number;
}

const names = ["Ada", "Bruno", "Chiara", "Deniz", "Elif", "Farid", "Greta", "Hugo"] as const;
const acts = ["bought", "repaired", "painted", "lost", "found", "sold", "returned"] as const;
const things = ["a bicycle", "a telescope", "a violin", "a raincoat", "a kettle", "a map"] as const;

/** One question a step over invented memories, with another prompt each time. */
function createEnvironment(
  shape: Shape,
  prompts: readonly string[],
): Environment<number, SpeedEpisode> {
  return {
    name: "speed",
    tasks: async (step) => [step],
    taskId: (step) => `step-${step}`,
    start(step) {
      let text: string | undefined;
      return {
        async nextPrompt(): Promise<PolicyPrompt | undefined> {
          if (text !== undefined) return undefined;
          return {
            messages: [{ role: "user", content: prompts[step] ?? "" }],
            // Text so long that the end of the turn is not allowed before all tokens are sampled.
            constraint: {
              type: "regex",
              value: `(?s:.{${charactersPerToken * shape.completionTokens},})`,
            },
          };
        },
        async act(completion) {
          text = completion.text;
        },
        // Random text hits no gold answer: its length tells the samples apart, so that each group has a gradient.
        reward: () => computeLocomoF1(text ?? "", "a violin", "4") + (text ?? "").length / 1000,
      };
    },
    rewards: async (episodes) =>
      episodes.map((episode) => ({ reward: episode.reward(), metrics: {} })),
  };
}

function inventPrompt(shape: Shape, seed: number, step: number, tokenizer: ChatTokenizer): string {
  const random = createRandom(deriveSeed(seed, "speed", step));
  const sentences: string[] = [];
  const isLong = (): boolean => tokenizer.encode(sentences.join(" ")).length >= shape.promptTokens;
  while (!isLong()) {
    sentences.push(`${pick(names, random)} ${pick(acts, random)} ${pick(things, random)}.`);
  }
  return sentences.join(" ");
}
