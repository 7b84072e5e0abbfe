import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectSharedEngine, type SharedEngineConnection } from "@memory-r1/engine/testing";
import type { Environment, Episode, GeneratedText } from "@memory-r1/spec";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { stepsOf } from "./__fixtures__/letter-run.ts";
import { createCriticEngine } from "./critic-adapter.ts";
import { createCheckpointRemover, createPolicyEngine } from "./engine-adapter.ts";
import { trainPpo } from "./ppo.ts";
import { trainSft } from "./sft.ts";
import type { TrainingOptions } from "./training-loop.ts";

const questions = ["Name an animal.", "Name a city."] as const;

interface WordEpisode extends Episode {
  readonly text: () => string;
}

/** Reward: whether the answer has an "o" in it. */
const environment: Environment<string, WordEpisode> = {
  name: "words with an o",
  tasks: async () => questions,
  taskId: (question) => question,
  start(question) {
    let written: GeneratedText | undefined;
    return {
      text: () => written?.text ?? "",
      nextPrompt: async () =>
        written === undefined ? { messages: [{ role: "user", content: question }] } : undefined,
      async act(completion) {
        written = completion;
      },
    };
  },
  rewards: async (episodes) =>
    episodes.map((episode) => ({ reward: episode.text().includes("o") ? 1 : 0, metrics: {} })),
};

describe("PPO and SFT on the embedded engine", () => {
  let directory = "";
  let engine: SharedEngineConnection;

  beforeAll(async () => {
    engine = await connectSharedEngine();
    directory = await mkdtemp(join(tmpdir(), "memory-r1-ppo-engine-"));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  async function open(name: string) {
    const model = {
      client: engine.client,
      sessionId: await engine.client.createSession(),
      baseModel: engine.model.name,
      lora: { rank: 4, seed: 1 },
      tokenizer: engine.tokenizer,
    };
    const options: TrainingOptions = {
      stage: "words",
      runSeed: 3,
      fingerprint: "test",
      engine: await createPolicyEngine(model),
      directory: join(directory, name),
      evaluate: async (step) => ({ score: step, healthy: true, metrics: {} }),
      removeCheckpoint: createCheckpointRemover(engine.checkpointsDirectory),
    };
    return { model, options };
  }
  const metrics = (name: string) => readFile(join(directory, name, "metrics.jsonl"), "utf8");

  it(
    "trains policy and critic, and resumes both to the same bytes",
    { timeout: 180_000 },
    async () => {
      const train = async (name: string, steps: number) => {
        const { model, options } = await open(name);
        return trainPpo({
          ...options,
          config: {
            steps,
            samplesPerTask: 6,
            maxCompletionTokens: 5,
            epochs: 2,
            learningRate: { peak: 1e-3 },
            criticLearningRate: { peak: 1e-2 },
            // Only at the start, so that a run in two sittings validates as often as one in one.
            validateEvery: 100,
            checkpointEvery: 1,
          },
          environment,
          critic: await createCriticEngine(model),
        });
      };
      const steps = stepsOf((await train("whole", 2)).history);
      for (const { update } of steps)
        expect(update?.logProbDifference?.max ?? 0).toBeLessThan(1e-3);
      const critics = steps.flatMap(({ critic }) => critic ?? []);
      expect(critics).toHaveLength(2);
      expect(critics.every((critic) => critic.optimizerSteps === 2)).toBe(true);
      // A value head starts at 0 and comes to know that some answers are worth something.
      expect(critics[0]?.values.max).toBe(0);
      expect(critics[1]?.values.mean).not.toBe(0);

      await train("parts", 1);
      await train("parts", 2);
      const withoutValidations = (text: string) =>
        text.split("\n").filter((line) => !line.includes('"type":"validation"'));
      expect(withoutValidations(await metrics("parts"))).toEqual(
        withoutValidations(await metrics("whole")),
      );
    },
  );

  it("imitates traces", { timeout: 120_000 }, async () => {
    const { options } = await open("sft");
    const { history } = await trainSft({
      ...options,
      config: {
        steps: 6,
        data: { kind: "traces", batchSize: 2 },
        learningRate: { peak: 5e-3 },
        validateEvery: 100,
      },
      traces: questions.map((question) => ({
        messages: [{ role: "user", content: question }],
        completion: "Oslo.",
      })),
    });
    const losses = stepsOf(history).flatMap(({ update }) => update?.loss ?? []);
    expect(losses).toHaveLength(6);
    expect(losses[5] ?? 9).toBeLessThan((losses[0] ?? 0) / 2);
    const [result] = await options.engine.generate([
      {
        messages: [{ role: "user", content: questions[0] }],
        maxTokens: 5,
        temperature: 0,
        seed: 1,
      },
    ]);
    expect(result?.status === "completed" ? result.completions[0]?.text : "").toContain("Oslo");
  });
});
