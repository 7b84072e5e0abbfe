import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  ConfigError,
  EngineLostError,
  ModelCallError,
  NonFiniteError,
  ResumeMismatchError,
  type Environment,
} from "@memory-r1/spec";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  createLetterEnvironment,
  type LetterEnvironmentOptions,
  type LetterEpisode,
  type LetterTask,
} from "./__fixtures__/letter-environment.ts";
import { stepsOf, twoTasks } from "./__fixtures__/letter-run.ts";
import {
  createSoftmaxEngine,
  type SoftmaxEngine,
  type SoftmaxEngineOptions,
} from "./__fixtures__/softmax-engine.ts";
import { trainGrpo, type GrpoOptions } from "./grpo.ts";
import type { GrpoConfigInput } from "./grpo-config.ts";
import type { Validation } from "./training-loop.ts";

let directory = "";
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "memory-r1-grpo-"));
});
afterEach(() => rm(directory, { recursive: true }));

const baseConfig = {
  steps: 4,
  samplesPerTask: 8,
  maxCompletionTokens: 2,
  learningRate: { peak: 0.3 },
  validateEvery: 2,
  checkpointEvery: 3,
} satisfies GrpoConfigInput;

interface Setup {
  readonly config?: Partial<GrpoConfigInput>;
  readonly environment?: Partial<LetterEnvironmentOptions>;
  readonly engine?: SoftmaxEngineOptions;
  readonly options?: Partial<GrpoOptions<LetterTask, LetterEpisode>>;
  readonly validation?: (step: number, engine: SoftmaxEngine) => Partial<Validation>;
}

/** A run in `directory`: the score is the mean probability of the right first letters. */
function setUp(setup: Setup = {}) {
  const storage = setup.engine?.storage ?? new Map<string, string>();
  const engine = createSoftmaxEngine({ ...setup.engine, storage });
  const tasks = setup.environment?.tasks ?? twoTasks;
  const validated: number[] = [];
  const train = () =>
    trainGrpo({
      config: { ...baseConfig, ...setup.config },
      stage: "letters",
      runSeed: 7,
      fingerprint: "test",
      environment: createLetterEnvironment({ ...setup.environment, tasks }),
      engine,
      directory,
      evaluate: async (step) => {
        validated.push(step);
        const right = tasks.map((task) => engine.probability(task.id, task.letters.slice(0, 1)));
        const score = right.reduce((sum, one) => sum + one, 0) / tasks.length;
        return { score, healthy: true, metrics: {}, ...setup.validation?.(step, engine) };
      },
      removeCheckpoint: async (path) => {
        if (!storage.delete(path)) throw new Error(`${path} was removed twice or never written`);
      },
      clock: () => 0,
      ...setup.options,
    });
  return { engine, storage, validated, train };
}

const readLog = (name: string) => readFile(join(directory, name), "utf8");

/** Runs `work` in an own folder. */
async function inNewFolder<T>(work: () => Promise<T>): Promise<T> {
  const outer = directory;
  directory = await mkdtemp(join(tmpdir(), "memory-r1-grpo-"));
  try {
    return await work();
  } finally {
    await rm(directory, { recursive: true });
    directory = outer;
  }
}

describe("learning", () => {
  it("raises the reward until the policy writes the right letters", async () => {
    const { engine, train } = setUp({ config: { steps: 25, minibatches: 1 } });
    expect(engine.probability("one", "b")).toBeCloseTo(0.25, 12);
    const { history } = await train();
    const rewards = stepsOf(history).map((record) => record.reward?.mean ?? Number.NaN);
    expect(rewards[0]).toBeLessThan(0.6);
    const lastRewards = rewards.slice(-5);
    expect(lastRewards.reduce((sum, reward) => sum + reward, 0) / 5).toBeGreaterThan(0.9);
    expect(engine.probability("one", "b")).toBeGreaterThan(0.95);
    expect(engine.probability("two", "c")).toBeGreaterThan(0.95);
  });

  it("learns by the clipped loss with epochs and minibatches, where the clip binds", async () => {
    const { engine, train } = setUp({
      config: { steps: 10, loss: { kind: "ppo" }, epochs: 3, minibatches: 2 },
    });
    const { history } = await train();
    expect(engine.probability("one", "b")).toBeGreaterThan(0.8);
    const [first] = stepsOf(history);
    expect(first?.update?.optimizerSteps).toBe(6);
    expect(first?.update?.clipFraction).toBeGreaterThan(0);
    expect(first?.update?.logProbDifference?.meanAbsolute).toBe(0);
  });

  it("learns decisions that follow each other in an episode", async () => {
    const { engine, train } = setUp({
      config: { steps: 50, samplesPerTask: 16, learningRate: { peak: 0.15 } },
      environment: { tasks: [{ id: "long", letters: "bca" }] },
    });
    const { history } = await train();
    expect(stepsOf(history).at(-1)?.reward?.mean).toBeGreaterThan(0.9);
    expect(engine.probability("long", "b")).toBeGreaterThan(0.9);
    expect(engine.probability("long/b", "c")).toBeGreaterThan(0.9);
    expect(engine.probability("long/b/c", "a")).toBeGreaterThan(0.9);
  });

  it("has the gradient that finite differences of the aggregated loss show", async () => {
    // Stopped before the optimiser step, so that the accumulated gradient can be read.
    const aggregations = [
      { kind: "token-mean" },
      { kind: "sequence-mean-token-mean" },
      { kind: "sequence-mean-token-sum-norm", length: 2 },
    ] as const;
    for (const aggregation of aggregations)
      await inNewFolder(async () => {
        const { engine, train } = setUp({
          config: { steps: 1, aggregation },
          environment: { tasks: [{ id: "one", letters: "b" }] },
          engine: {
            onCall: (method) => {
              if (method === "optimStep") throw new EngineLostError("stopped for the test");
            },
          },
        });
        engine.nudge("one", [], 2, 0.4);
        await expect(train()).rejects.toThrow(EngineLostError);
        const rewarded = engine.trained[0] ?? [];
        expect(rewarded).toHaveLength(8);
        const sampled = rewarded.map((sequence) => ({
          sequence,
          reward: sequence.completionTokens[0] === 2 ? 1 : 0,
        }));
        const mean = sampled.reduce((sum, { reward }) => sum + reward, 0) / 8;
        const variance = sampled.reduce((sum, { reward }) => sum + (reward - mean) ** 2, 0) / 7;
        const tokenCount = rewarded.reduce((sum, one) => sum + one.completionTokens.length, 0);
        /** Written out from the formulas, with none of the code under test. */
        const loss = () => {
          const perSequence = sampled.map(({ sequence, reward }) => {
            const advantage = (reward - mean) / (Math.sqrt(variance) + 1e-6);
            const ratios = engine
              .forward(sequence)
              .map((now, token) => Math.exp(now - (sequence.logProbs[token] ?? Number.NaN)));
            const total = ratios.reduce((sum, ratio) => sum - ratio * advantage, 0);
            return { total, length: ratios.length };
          });
          const sum = perSequence.reduce((all, { total }) => all + total, 0);
          switch (aggregation.kind) {
            case "token-mean":
              return sum / tokenCount;
            case "sequence-mean-token-mean":
              return perSequence.reduce((all, { total, length }) => all + total / length, 0) / 8;
            case "sequence-mean-token-sum-norm":
              return sum / 2 / 8;
          }
        };
        const step = 1e-5;
        for (const prefix of [[], [1], [2], [3]])
          for (const token of [0, 1, 2, 3]) {
            engine.nudge("one", prefix, token, step);
            const above = loss();
            engine.nudge("one", prefix, token, -2 * step);
            const below = loss();
            engine.nudge("one", prefix, token, step);
            const difference = (above - below) / (2 * step);
            expect(Math.abs(engine.gradient("one", prefix, token) - difference)).toBeLessThan(1e-8);
          }
      });
  });

  it("pulls back to the reference policy with a KL coefficient", async () => {
    const drifted = (klCoefficient: number) =>
      inNewFolder(async () => {
        const { engine, train } = setUp({
          config: { steps: 8, klCoefficient, samplesPerTask: 256 },
          // Nothing to learn from the reward.
          environment: { tasks: [{ id: "one", letters: "b" }], reward: () => 0 },
        });
        engine.nudge("one", [], 1, 2);
        const { history } = await train();
        return { probability: engine.probability("one", "a"), steps: stepsOf(history) };
      });
    const free = await drifted(0);
    const held = await drifted(1);
    // e^2 / (e^2 + 3), the value that the nudge made.
    expect(free.probability).toBeCloseTo(Math.exp(2) / (Math.exp(2) + 3), 12);
    expect(free.steps[0]?.update).toBeNull();
    expect(held.probability).toBeLessThan(0.6);
    // p = 0.711 for "a" and 0.096 for each of three others: 0.468 nats at the first token, 0 at the second, which follows
    // unless the first is the stop token: 0.468 / 1.904 = 0.246 expected of the mean over tokens.
    expect(Math.abs((held.steps[0]?.update?.kl ?? 0) - 0.246)).toBeLessThan(0.1);
  });
});

describe("what is sampled and sent", () => {
  it("samples equal prompts of a group by one request, with a seed of its own for each", async () => {
    const { engine, train } = setUp({ config: { steps: 2 } });
    await train();
    expect(engine.requests.map((request) => request.count)).toEqual([8, 8, 8, 8]);
    expect(new Set(engine.requests.map((request) => request.seed)).size).toBe(4);
    expect(engine.requests.every((request) => request.temperature === 1)).toBe(true);
  });

  it("gives equal tasks of a step different samples", async () => {
    const { engine, train } = setUp({
      config: { steps: 1 },
      environment: { tasks: [twoTasks[0], twoTasks[0]] },
    });
    await train();
    expect(new Set(engine.requests.map((request) => request.seed)).size).toBe(2);
  });

  it("splits a group where its episodes have gone different ways", async () => {
    const { engine, train } = setUp({
      config: { steps: 1 },
      environment: { tasks: [{ id: "long", letters: "ba" }] },
    });
    await train();
    const [first, ...later] = engine.requests;
    expect(first?.count).toBe(8);
    expect(later.length).toBeGreaterThan(1);
    expect(later.reduce((sum, request) => sum + (request.count ?? 0), 0)).toBe(8);
    const prompts = later.map((request) => request.messages[0]?.content);
    expect(new Set(prompts).size).toBe(later.length);
  });

  it("shares an episode's advantage among its decisions and scales it by the token count", async () => {
    const { engine, train } = setUp({
      config: { steps: 1 },
      environment: { tasks: [{ id: "long", letters: "ba" }] },
    });
    await train();
    const sequences = engine.trained[0] ?? [];
    const total = sequences.flatMap((sequence) => sequence.advantages);
    const tokenCount = sequences.reduce((sum, one) => sum + one.completionTokens.length, 0);
    expect(sequences).toHaveLength(16);
    // Group-relative advantages of 8 episodes take few values; scaled by 1 / tokens they stay few.
    const distinct = new Set(total.map((advantage) => (advantage * tokenCount).toFixed(9)));
    expect(distinct.size).toBeLessThanOrEqual(3);
    for (const sequence of sequences) expect(new Set(sequence.advantages).size).toBe(1);
  });

  it("sends no group whose rewards are equal, and takes no step when all are", async () => {
    const mixed = setUp({
      config: { steps: 1 },
      environment: {
        tasks: twoTasks,
        reward: (episode) => (episode.task.id === "one" ? 0.1 : episode.written[0] === "c" ? 1 : 0),
      },
    });
    const { history } = await mixed.train();
    const [record] = stepsOf(history);
    expect(record?.groups).toEqual({ count: 2, zeroVariance: 1, zeroVarianceShare: 0.5 });
    expect(record?.samples).toMatchObject({ count: 16, masked: 0, trainedDecisions: 8 });
    const onePrompt = Array.from("one", (letter) => letter.codePointAt(0));
    expect(
      mixed.engine.trained[0]?.some((one) => one.promptTokens.join() === onePrompt.join()),
    ).toBe(false);

    await inNewFolder(async () => {
      const { engine, train } = setUp({ config: { steps: 3 }, environment: { reward: () => 0.5 } });
      const result = await train();
      expect(engine.trained).toEqual([]);
      expect(stepsOf(result.history).map((one) => one.update)).toEqual([null, null, null]);
      expect(engine.probability("one", "b")).toBeCloseTo(0.25, 12);
    });
  });

  it("logs sums of the environment's metrics and the policy's entropy", async () => {
    const { train } = setUp({ config: { steps: 1 } });
    const { history } = await train();
    const [record] = stepsOf(history);
    expect(record?.environment?.episodes).toBe(16);
    expect(record?.environment?.sums["written"]).toBe(16);
    expect(record?.environment?.sums["right"]).toBe(Math.round((record?.reward?.mean ?? 0) * 16));
    // Uniform over four tokens.
    expect(record?.update?.entropy).toBeCloseTo(Math.log(4), 12);
    expect(record?.update?.clipFraction).toBe(0);
  });
});

describe("failures", () => {
  it("masks failed and unscored samples", async () => {
    let episodes = 0;
    const { engine, train } = setUp({
      config: { steps: 1 },
      environment: {
        tasks: [...twoTasks, { id: "three", letters: "a" }],
        reward: (episode) =>
          episode.task.id === "two" && episodes++ < 2
            ? undefined
            : episode.written[0] === "b"
              ? 1
              : 0,
      },
      engine: {
        fail: (request) => (request.messages[0]?.content === "three" ? "out of memory" : undefined),
      },
    });
    const { history } = await train();
    const [record] = stepsOf(history);
    // Eight of task three and two of task two.
    expect(record?.samples).toMatchObject({ count: 24, masked: 10 });
    expect(record?.environment?.episodes).toBe(16);
    expect(engine.trained[0]?.length).toBe(14);
  });

  it("stops when more than half of the samples fail, naming the first reason", async () => {
    const failing = (count: number) => {
      let calls = 0;
      return setUp({
        config: { steps: 1 },
        environment: { tasks: [...twoTasks, ...twoTasks] },
        engine: { fail: () => (calls++ < count ? "out of memory" : undefined) },
      });
    };
    await inNewFolder(async () => {
      const { history } = await failing(2).train();
      expect(stepsOf(history)[0]?.samples?.masked).toBe(16);
    });
    const stopped = failing(3).train();
    await expect(stopped).rejects.toThrow(ModelCallError);
    await expect(stopped).rejects.toThrow(/24 of 32 samples failed.*out of memory/);
  });

  it("stops on a reward, a score or a log-probability that is no finite number", async () => {
    const cases: readonly Setup[] = [
      { environment: { reward: () => Number.NaN } },
      { validation: () => ({ score: Number.NaN }) },
      { validation: () => ({ metrics: { entries: Number.POSITIVE_INFINITY } }) },
      { engine: { distort: () => Number.NEGATIVE_INFINITY } },
    ];
    for (const setup of cases)
      await inNewFolder(() => expect(setUp(setup).train()).rejects.toThrow(NonFiniteError));
  });

  it("warns of a trainer that disagrees with the sampler, and counts the tokens", async () => {
    const warnings: string[] = [];
    const warned = (distort: (logProb: number) => number) =>
      inNewFolder(async () => {
        warnings.length = 0;
        const { train } = setUp({
          config: { steps: 1 },
          engine: { distort },
          options: { onWarning: (message) => warnings.push(message) },
        });
        const [first] = stepsOf((await train()).history);
        return first?.update?.logProbDifference;
      });
    const apart = await warned((logProb) => logProb - 0.25);
    expect(apart?.meanAbsolute).toBeCloseTo(0.25, 12);
    expect(apart?.k1).toBeCloseTo(0.25, 12);
    expect(apart?.k2).toBeCloseTo(0.25 ** 2 / 2, 12);
    expect(apart?.max).toBeCloseTo(0.25, 12);
    expect(apart?.aboveLimit).toBeGreaterThan(15);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain(`about ${apart?.aboveLimit} sampled tokens`);
    const close = await warned((logProb) => logProb - 0.05);
    expect(close).toMatchObject({ aboveLimit: 0 });
    expect(warnings).toEqual([]);
  });

  it("passes a lost engine on", async () => {
    const { train } = setUp({
      engine: {
        fail: () => {
          throw new EngineLostError("gone");
        },
      },
    });
    await expect(train()).rejects.toThrow(EngineLostError);
  });

  it("refuses configurations that cannot be run", async () => {
    const reuse = setUp({ config: { epochs: 2 } });
    await expect(reuse.train()).rejects.toThrow(/samples more than once/);
    const stage = setUp({ options: { stage: "no/slash" } });
    await expect(stage.train()).rejects.toThrow(ConfigError);
    const empty = setUp({ environment: { tasks: [] }, validation: () => ({ score: 0 }) });
    await expect(empty.train()).rejects.toThrow(/no tasks for step 0/);
    const single = setUp({ config: { samplesPerTask: 1 } });
    await expect(single.train()).rejects.toThrow(/samplesPerTask/);
  });
});

describe("checkpoints", () => {
  it("validates before, during and after, keeps the best and removes the rest", async () => {
    const scores = [0.2, 0.5, 0.4, 0.3];
    const { storage, validated, train } = setUp({
      config: { steps: 5 },
      validation: (step) => ({ score: scores[Math.ceil(step / 2)] ?? Number.NaN }),
    });
    const result = await train();
    expect(validated).toEqual([0, 2, 4, 5]);
    expect(result).toMatchObject({
      bestStep: 2,
      bestScore: 0.5,
      bestHealthy: true,
      bestPath: "sampler/letters-2-sampler",
      lastStep: 5,
    });
    expect([...storage.keys()].toSorted()).toEqual([
      "sampler/letters-2-sampler",
      "state/letters-5-state",
    ]);
  });

  it("prefers a healthy policy to a better score, and the earlier of equals", async () => {
    const verdicts = [
      { score: 0.9, healthy: false, reason: "the bank is empty" },
      { score: 0.3, healthy: true },
      { score: 0.3, healthy: true },
      { score: 0.8, healthy: false, reason: "the bank is empty" },
    ];
    const { train } = setUp({
      config: { steps: 3, validateEvery: 1 },
      validation: (step) => verdicts[step] ?? {},
    });
    expect(await train()).toMatchObject({ bestStep: 1, bestScore: 0.3, bestHealthy: true });
  });

  it("returns the best unhealthy policy, marked, where none was healthy", async () => {
    const { train } = setUp({
      validation: () => ({ healthy: false, reason: "the bank is empty" }),
    });
    const result = await train();
    expect(result.bestHealthy).toBe(false);
    expect(result.bestStep).toBe(4);
  });

  it("stops after `patience` validations without a new best", async () => {
    const { train, validated } = setUp({
      config: { steps: 20, validateEvery: 1, patience: 3 },
      validation: (step) => ({ score: step === 2 ? 1 : 0.5 }),
    });
    expect(await train()).toMatchObject({ bestStep: 2, lastStep: 5 });
    expect(validated).toEqual([0, 1, 2, 3, 4, 5]);
  });
});

describe("going back", () => {
  /** The second validation finds a collapse, which nothing but going back mends. */
  const collapsing = (onCall?: SoftmaxEngineOptions["onCall"], storage?: Map<string, string>) => ({
    config: { steps: 4, validateEvery: 1, checkpointEvery: 9 },
    engine: {
      ...(onCall === undefined ? {} : { onCall }),
      ...(storage === undefined ? {} : { storage }),
    },
    validation: (step: number) =>
      step === 2
        ? { score: 0, healthy: false, reason: "collapsed", rollBack: "0.5 is missing" }
        : { score: step },
  });

  it("takes the best weights with a fresh optimiser, says so in the log, and goes on", async () => {
    const calls: string[] = [];
    const { engine, train } = setUp(collapsing((method) => calls.push(method)));
    const { history, bestStep, lastStep } = await train();
    expect([bestStep, lastStep]).toEqual([4, 4]);
    expect(history.map((record) => [record.type, record.step])).toEqual([
      ["validation", 0],
      ["step", 0],
      ["validation", 1],
      ["step", 1],
      ["validation", 2],
      ["rollback", 2],
      ["step", 2],
      ["validation", 3],
      ["step", 3],
      ["validation", 4],
    ]);
    expect(history[5]).toEqual({
      type: "rollback",
      step: 2,
      toStep: 1,
      reason: "0.5 is missing",
    });
    expect(calls.filter((call) => call === "loadSamplerWeights")).toHaveLength(1);
    const afterLoad = calls.slice(calls.indexOf("loadSamplerWeights"));
    expect(afterLoad.slice(0, 3)).toEqual(["loadSamplerWeights", "refreshSampler", "saveState"]);
    // Four updates, of which the second is forgotten: step 3 begins from the weights of step 1.
    expect(engine.trained).toHaveLength(4);
  });

  it("begins the next step from the weights of the best, not from those that collapsed", async () => {
    const probabilities: number[] = [];
    const setup = collapsing();
    const { train } = setUp({
      ...setup,
      config: { ...setup.config, learningRate: { peak: 0.3 } },
      validation: (step, engine) => {
        probabilities.push(engine.probability("one", "b"));
        return setup.validation(step);
      },
      options: {
        onProgress: (event) => {
          if (event.kind === "step" && event.step === 2) probabilities.push(Number.NaN);
        },
      },
    });
    await train();
    const [, first = 0, second = 0, , third = 0] = probabilities;
    // Each update of Adam moves a logit by at most the learning rate, and its first by just that: from the weights of
    // step 1 the third comes back to where the second was, and not a step beyond.
    expect(second).toBeGreaterThan(first);
    expect(third).toBeGreaterThan(first);
    expect(Math.abs(third - second)).toBeLessThan(second - first);
  });

  it("does not go back without a healthy best, nor after the last step", async () => {
    const calls: string[] = [];
    const { train } = setUp({
      config: { steps: 2, validateEvery: 1 },
      engine: { onCall: (method) => calls.push(method) },
      validation: (step) => ({ score: step, healthy: false, reason: "bad", rollBack: "bad" }),
    });
    expect((await train()).history.some(({ type }) => type === "rollback")).toBe(false);
    const last = setUp({
      config: { steps: 2, validateEvery: 2 },
      engine: { onCall: (method) => calls.push(method) },
      validation: (step) => (step === 2 ? { score: 0, healthy: false, rollBack: "bad" } : {}),
      options: { directory: join(directory, "last") },
    });
    await last.train();
    expect(calls).not.toContain("loadSamplerWeights");
  });

  it("resumes from the weights that it went back to, to the same bytes", async () => {
    const whole = setUp({ ...collapsing(), options: { directory: join(directory, "whole") } });
    await whole.train();
    const storage = new Map<string, string>();
    let updates = 0;
    const killed = setUp(
      collapsing((method) => {
        if (method === "optimStep" && ++updates === 3) throw new EngineLostError("killed");
      }, storage),
    );
    await expect(killed.train()).rejects.toThrow(EngineLostError);
    await setUp(collapsing(undefined, storage)).train();
    expect(await readLog("metrics.jsonl")).toBe(
      await readFile(join(directory, "whole", "metrics.jsonl"), "utf8"),
    );
  });
});

describe("an environment with local tasks", () => {
  it("has them sampled after the others, each a group of its own size, and trained in the same step", async () => {
    const letters = createLetterEnvironment({ tasks: twoTasks });
    const asked: (readonly [number, number])[] = [];
    const { engine, train } = setUp({
      config: { steps: 1 },
      options: {
        environment: {
          ...letters,
          localTasks: (step, episodes) => {
            // Every global episode has ended.
            for (const { written } of episodes) expect(written).toHaveLength(1);
            asked.push([step, episodes.length]);
            return Promise.resolve([{ id: "local", letters: "a" }]);
          },
          samplesOf: ({ id }) => (id === "local" ? 12 : undefined),
        },
      },
    });
    const [record] = stepsOf((await train()).history);
    expect(asked).toEqual([[0, 16]]);
    expect(engine.requests.map(({ count }) => count)).toEqual([8, 8, 12]);
    expect(engine.requests.map(({ messages }) => messages[0]?.content)).toEqual([
      "one",
      "two",
      "local",
    ]);
    expect(record?.groups?.count).toBe(3);
    expect(record?.samples?.count).toBe(28);
    expect(record?.environment?.episodes).toBe(28);
    expect(engine.trained.flat().some(({ promptTokens }) => promptTokens.length === 5)).toBe(true);
  });

  it("is as it was where it has none", async () => {
    const plain = await setUp().train();
    const letters = createLetterEnvironment({ tasks: twoTasks });
    const withNone = await setUp({
      options: {
        directory: join(directory, "none"),
        environment: { ...letters, localTasks: () => Promise.resolve([]) },
      },
    }).train();
    expect(withNone.history).toEqual(plain.history);
  });
});

describe("an environment that observes validations", () => {
  it("hears of each once, before the next tasks, and of those of the log when resumed", async () => {
    const heard: (readonly [string, number])[] = [];
    const environment = (): Environment<LetterTask, LetterEpisode> => {
      const letters = createLetterEnvironment({ tasks: twoTasks });
      return {
        ...letters,
        tasks: (step) => {
          heard.push(["tasks", step]);
          return letters.tasks(step);
        },
        observe: ({ step, healthy, metrics }) => {
          expect([healthy, metrics]).toEqual([true, {}]);
          heard.push(["observed", step]);
        },
      };
    };
    const storage = new Map<string, string>();
    const config = { validateEvery: 1, checkpointEvery: 1, learningRate: { peak: 0.3 } };
    await setUp({
      config: { ...config, steps: 2 },
      engine: { storage },
      options: { environment: environment() },
    }).train();
    expect(heard).toEqual([
      ["observed", 0],
      ["tasks", 0],
      ["observed", 1],
      ["tasks", 1],
      ["observed", 2],
    ]);
    heard.length = 0;
    await setUp({
      config: { ...config, steps: 3 },
      engine: { storage },
      options: { environment: environment() },
    }).train();
    expect(heard).toEqual([
      ["observed", 0],
      ["observed", 1],
      ["observed", 2],
      ["tasks", 2],
      ["observed", 3],
    ]);
  });
});

describe("resuming", () => {
  const config = { steps: 7, validateEvery: 2, checkpointEvery: 3 };

  async function uninterrupted() {
    return inNewFolder(async () => {
      const { engine, storage, train } = setUp({ config });
      const { history: _history, ...result } = await train();
      const state = storage.get("state/letters-7-state");
      return { metrics: await readLog("metrics.jsonl"), state, result, requests: engine.requests };
    });
  }

  it("repeats a run byte for byte", async () => {
    const first = await uninterrupted();
    const second = await uninterrupted();
    expect(second.metrics).toBe(first.metrics);
    expect(second.state).toBe(first.state);
    expect(first.state).toBeDefined();
    expect(first.metrics.trimEnd().split("\n")).toHaveLength(7 + 5);
  });

  it("ends in the same bytes after the engine was lost in any call of any step", async () => {
    const whole = await uninterrupted();
    for (let lostAt = 1; lostAt <= whole.requests.length / 2; lostAt++)
      await inNewFolder(async () => {
        const storage = new Map<string, string>();
        let calls = 0;
        const lost = setUp({
          config,
          engine: {
            storage,
            fail: () => {
              // Two requests to a step: the second of them dies.
              if (++calls === 2 * lostAt) throw new EngineLostError("killed");
              return undefined;
            },
          },
        });
        await expect(lost.train()).rejects.toThrow(EngineLostError);
        const { train } = setUp({ config, engine: { storage } });
        const { history, ...result } = await train();
        expect(await readLog("metrics.jsonl")).toBe(whole.metrics);
        expect(storage.get("state/letters-7-state")).toBe(whole.state);
        expect(result).toEqual(whole.result);
        expect(history).toHaveLength(12);
        expect(storage.size).toBe(2);
      });
  });

  it("ends in the same bytes after a kill in the update, the validation or a save", async () => {
    const whole = await uninterrupted();
    const methods = [
      "forwardBackward",
      "optimStep",
      "refreshSampler",
      "saveState",
      "saveSamplerWeights",
    ] as const;
    for (const method of methods)
      await inNewFolder(async () => {
        const storage = new Map<string, string>();
        let calls = 0;
        const lost = setUp({
          config,
          engine: {
            storage,
            onCall: (called) => {
              if (called === method && ++calls === 3) throw new EngineLostError("killed");
            },
          },
        });
        await expect(lost.train()).rejects.toThrow(EngineLostError);
        await setUp({ config, engine: { storage } }).train();
        expect(await readLog("metrics.jsonl")).toBe(whole.metrics);
        expect(storage.get("state/letters-7-state")).toBe(whole.state);
      });
  });

  it("stops on a signal with the last finished step kept", async () => {
    const whole = await uninterrupted();
    const storage = new Map<string, string>();
    const controller = new AbortController();
    let calls = 0;
    const first = setUp({
      config,
      engine: {
        storage,
        fail: () => {
          // Two requests to a step: in step 5, which is sampled but never trained on.
          if (++calls === 12) controller.abort(new Error("interrupted"));
          return undefined;
        },
      },
      options: { signal: controller.signal },
    });
    await expect(first.train()).rejects.toThrow("interrupted");
    const lastLine = (await readLog("checkpoints.jsonl")).trimEnd().split("\n").at(-1);
    expect(lastLine).toContain('"step":5');
    await setUp({ config, engine: { storage } }).train();
    expect(await readLog("metrics.jsonl")).toBe(whole.metrics);
    expect(storage.get("state/letters-7-state")).toBe(whole.state);
  });

  it("keeps a step that was trained but not validated when the signal came", async () => {
    const whole = await uninterrupted();
    const storage = new Map<string, string>();
    const controller = new AbortController();
    const reason = new Error("interrupted");
    const first = setUp({
      config,
      engine: { storage },
      validation: (step) => {
        if (step !== 6) return {};
        controller.abort(reason);
        throw reason;
      },
      options: { signal: controller.signal },
    });
    await expect(first.train()).rejects.toBe(reason);
    const second = setUp({ config, engine: { storage } });
    await second.train();
    expect(second.validated).toEqual([6, 7]);
    expect(await readLog("metrics.jsonl")).toBe(whole.metrics);
    expect([...storage.keys()].toSorted()).toEqual([
      "sampler/letters-7-sampler",
      "state/letters-7-state",
    ]);
  });

  it("goes on when `steps` is raised, and does nothing when the run is done", async () => {
    const storage = new Map<string, string>();
    await setUp({ config: { ...config, steps: 4 }, engine: { storage } }).train();
    const { train, engine } = setUp({ config: { ...config, steps: 6 }, engine: { storage } });
    expect((await train()).lastStep).toBe(6);
    expect(engine.requests).toHaveLength(4);
    const again = setUp({ config: { ...config, steps: 6 }, engine: { storage } });
    expect((await again.train()).lastStep).toBe(6);
    expect(again.engine.requests).toHaveLength(0);
    expect(again.validated).toEqual([]);
  });

  it("starts from given weights, and resumes from its own", async () => {
    const storage = new Map<string, string>();
    const first = await setUp({ config: { steps: 6 }, engine: { storage } }).train();
    await inNewFolder(async () => {
      const options = { initialWeightsPath: first.bestPath };
      const second = setUp({ config: { steps: 2 }, engine: { storage }, options });
      const { history } = await second.train();
      // What the first run ended with is where the second begins.
      expect(history[0]).toMatchObject({ type: "validation", step: 0, score: first.bestScore });
      const third = setUp({ config: { steps: 4 }, engine: { storage }, options });
      await third.train();
      expect(third.validated).toEqual([4]);
      const elsewhere = setUp({ config: { steps: 4 }, engine: { storage } });
      await expect(elsewhere.train()).rejects.toThrow(ResumeMismatchError);
    });
  });

  it("refuses another configuration, seed or fingerprint", async () => {
    const storage = new Map<string, string>();
    await setUp({ config: { steps: 1 }, engine: { storage } }).train();
    const others: readonly Setup[] = [
      { config: { steps: 1, learningRate: { peak: 0.1 } } },
      { config: { steps: 1 }, options: { runSeed: 8 } },
      { config: { steps: 1 }, options: { fingerprint: "other data" } },
    ];
    for (const other of others) {
      const { train } = setUp({ ...other, engine: { storage } });
      await expect(train()).rejects.toThrow(ResumeMismatchError);
    }
  });
});
