import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ChatTokenizer, EngineClient } from "@memory-r1/engine";
import type { Environment, Episode, GeneratedText } from "@memory-r1/spec";
import { createPolicyEngine, trainGrpo } from "@memory-r1/trainers";

const questions = ["Name an animal.", "Name a city.", "Name a fruit."] as const;
const steps = 3;

interface WordEpisode extends Episode {
  readonly text: () => string;
}

/** One question each; the reward is whether the answer has an "o" in it, which a small model can learn in a few steps. */
function createWordEnvironment(): Environment<string, WordEpisode> {
  return {
    name: "words with an o",
    tasks: async (step) => [questions[step % 3] ?? "", questions[(step + 1) % 3] ?? ""],
    taskId: (question) => question,
    start(question) {
      let written: GeneratedText | undefined;
      return {
        text: () => written?.text ?? "",
        async nextPrompt() {
          return written === undefined
            ? { messages: [{ role: "user", content: question }] }
            : undefined;
        },
        async act(completion) {
          written = completion;
        },
      };
    },
    rewards: async (episodes) =>
      episodes.map((episode) => ({ reward: scoreWord(episode.text()), metrics: {} })),
  };
}

const scoreWord = (text: string): number => (text.includes("o") ? 1 : 0);

export interface WordTrainingOptions {
  readonly client: EngineClient;
  readonly baseModel: string;
  readonly tokenizer: ChatTokenizer;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Three steps of GRPO with the loop that every experiment uses: sampling, rewards, update, checkpoint, validation.
 * @returns what it came to, in words.
 * @throws Error if the sampler and the trainer disagree, or nothing was learnt from.
 */
export async function trainWords(options: WordTrainingOptions): Promise<string> {
  const { client, baseModel, tokenizer, signal } = options;
  const directory = await mkdtemp(join(tmpdir(), "memory-r1-engine-check-"));
  try {
    const policy = await createPolicyEngine({
      client,
      sessionId: await client.createSession(),
      baseModel,
      lora: { rank: 4, seed: 1 },
      tokenizer,
    });
    const { history, lastStep } = await trainGrpo({
      config: {
        steps,
        samplesPerTask: 4,
        maxCompletionTokens: 6,
        learningRate: { peak: 4e-3 },
        // Not every engine clips gradients.
        adam: { clipNorm: 0 },
        validateEvery: steps,
        checkpointEvery: steps,
      },
      stage: "words",
      runSeed: 11,
      fingerprint: "engine check",
      environment: createWordEnvironment(),
      engine: policy,
      directory,
      evaluate: async () => {
        const results = await policy.generate(
          questions.map((question, seed) => ({
            messages: [{ role: "user", content: question }],
            maxTokens: 6,
            temperature: 0,
            seed,
          })),
        );
        const texts = results.flatMap((result) =>
          result.status === "completed" ? result.completions.map((one) => one.text) : [],
        );
        const hits = texts.reduce((total, text) => total + scoreWord(text), 0);
        return {
          score: hits / questions.length,
          healthy: texts.length === questions.length,
          metrics: {},
        };
      },
      // The folder of the check is deleted whole.
      removeCheckpoint: async () => undefined,
      ...(signal === undefined ? {} : { signal }),
    });
    const updates = history.flatMap((record) =>
      record.type === "step" && record.update !== null ? [record.update] : [],
    );
    const gap = Math.max(
      ...updates.map(({ logProbDifference }) => logProbDifference?.meanAbsolute ?? Number.NaN),
    );
    if (lastStep !== steps || updates.length === 0)
      throw new Error(`${lastStep} steps of ${steps}, ${updates.length} of them with an update`);
    if (!(gap < 1e-4))
      throw new Error(`sampler and trainer differ by ${gap} in log-probability, allowed 0.0001`);
    return `${updates.length} updates in ${steps} steps, sampler and trainer differ by ${gap.toExponential(1)}`;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
