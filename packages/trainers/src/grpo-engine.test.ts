import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connectSharedEngine, type SharedEngineConnection } from "@memory-r1/engine/testing";
import type { Constraint, Environment, Episode, GeneratedText } from "@memory-r1/spec";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createCheckpointRemover, createPolicyEngine } from "./engine-adapter.ts";
import { trainGrpo } from "./grpo.ts";
import type { GrpoConfigInput } from "./grpo-config.ts";
import type { PolicyEngine } from "./policy-engine.ts";
import type { StepRecord } from "./run-log.ts";

const questions = ["Name an animal.", "Name a city.", "Name a fruit."] as const;

interface WordEpisode extends Episode {
  readonly text: () => string;
}

/** Reward: whether the answer has an "o" in it. */
function createWordEnvironment(constraint?: Constraint): Environment<string, WordEpisode> {
  return {
    name: "words with an o",
    tasks: async (step) => [questions[step % 3] ?? "", questions[(step + 1) % 3] ?? ""],
    taskId: (question) => question,
    start(question) {
      let written: GeneratedText | undefined;
      return {
        text: () => written?.text ?? "",
        async nextPrompt() {
          if (written !== undefined) return undefined;
          const messages = [{ role: "user", content: question }] as const;
          return { messages, ...(constraint === undefined ? {} : { constraint }) };
        },
        async act(completion) {
          written = completion;
        },
      };
    },
    rewards: async (episodes) =>
      episodes.map((episode) => ({ reward: countHit(episode.text()), metrics: {} })),
  };
}

function countHit(text: string): number {
  return text.includes("o") ? 1 : 0;
}

const config = {
  steps: 8,
  samplesPerTask: 6,
  maxCompletionTokens: 5,
  learningRate: { peak: 4e-3 },
  validateEvery: 8,
  checkpointEvery: 4,
} satisfies GrpoConfigInput;

describe("GRPO on the embedded engine", () => {
  let directory = "";
  let engine: SharedEngineConnection;

  beforeAll(async () => {
    engine = await connectSharedEngine();
    directory = await mkdtemp(join(tmpdir(), "memory-r1-grpo-engine-"));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  async function createPolicy(): Promise<PolicyEngine> {
    return createPolicyEngine({
      client: engine.client,
      sessionId: await engine.client.createSession(),
      baseModel: engine.model.name,
      lora: { rank: 8, seed: 1 },
      tokenizer: engine.tokenizer,
    });
  }

  async function train() {
    const policy = await createPolicy();
    return trainGrpo({
      config,
      stage: "words",
      runSeed: 11,
      fingerprint: "test",
      environment: createWordEnvironment(),
      engine: policy,
      directory: join(directory, "run"),
      evaluate: async () => {
        const results = await policy.generate(
          questions.map((question, index) => ({
            messages: [{ role: "user", content: question }],
            maxTokens: config.maxCompletionTokens,
            temperature: 1,
            seed: index,
            count: 16,
          })),
        );
        const texts = results.flatMap((result) =>
          result.status === "completed" ? result.completions.map((one) => one.text) : [],
        );
        const hits = texts.reduce((sum, text) => sum + countHit(text), 0);
        return { score: hits / texts.length, healthy: texts.length === 48, metrics: {} };
      },
      removeCheckpoint: createCheckpointRemover(engine.checkpointsDirectory),
    });
  }

  it("raises the reward", { timeout: 300_000 }, async () => {
    const { history, bestStep } = await train();
    const scores = history.flatMap((record) =>
      record.type === "validation" ? [record.score] : [],
    );
    expect(scores).toHaveLength(2);
    expect((scores[1] ?? 0) - (scores[0] ?? 0)).toBeGreaterThan(0.15);
    expect(bestStep).toBe(8);
    const steps = history.filter((record): record is StepRecord => record.type === "step");
    // A step in which every group has one reward has no update: when all answers hit, which differs between processors.
    const updates = steps.flatMap(({ update }) => update ?? []);
    const teaching = steps.filter(
      ({ groups }) => groups !== undefined && groups.zeroVariance < groups.count,
    );
    expect(updates).toHaveLength(teaching.length);
    // Four on an Intel Xeon with AMX, more on AMD EPYCs.
    expect(updates.length).toBeGreaterThan(3);
    for (const { logProbDifference, tokensUnpacked = 0, tokensComputed = 1 } of updates) {
      expect(logProbDifference?.meanAbsolute ?? 1).toBeLessThan(1e-4);
      // Six completions share a prompt.
      expect(tokensUnpacked / tokensComputed).toBeGreaterThan(2);
    }
  });

  it(
    "has an untrained reference policy that agrees with the sampler",
    { timeout: 60_000 },
    async () => {
      const policy = await createPolicy();
      const constraint = { type: "regex", value: "(cat|dog|mouse)" } as const;
      for (const given of [{}, { constraint }]) {
        const [result] = await policy.generate([
          {
            messages: [{ role: "user", content: questions[0] }],
            maxTokens: 5,
            temperature: 1,
            seed: 3,
            count: 4,
            ...given,
          },
        ]);
        if (result?.status !== "completed") throw new Error(`sampling failed: ${result?.reason}`);
        const decisions = result.completions.map((completion) => ({
          promptTokens: result.promptTokens ?? [],
          completionTokens: completion.tokens ?? [],
          logProbs: completion.logProbs ?? [],
          ...given,
        }));
        const reference = await policy.referenceLogProbs(decisions);
        for (const [index, decision] of decisions.entries())
          for (const [token, logProb] of decision.logProbs.entries())
            expect(Math.abs((reference[index]?.[token] ?? Number.NaN) - logProb)).toBeLessThan(
              1e-4,
            );
      }
    },
  );
});
