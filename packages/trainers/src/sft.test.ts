import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  ConfigError,
  DataFormatError,
  EngineLostError,
  ResumeMismatchError,
} from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createLetterEnvironment } from "./__fixtures__/letter-environment.ts";
import {
  inNewFolder,
  letterOptions,
  readMetrics,
  statesOf,
  stepsOf,
  twoTasks,
} from "./__fixtures__/letter-run.ts";
import { createSoftmaxEngine, type SoftmaxEngineOptions } from "./__fixtures__/softmax-engine.ts";
import { chooseKept, trainSft, type SftOptions } from "./sft.ts";
import type { SftConfigInput } from "./sft-config.ts";
import { drawTraces, readTraces, type Trace } from "./traces.ts";

const traces: readonly Trace[] = [
  { messages: [{ role: "user", content: "one" }], completion: "b" },
  { messages: [{ role: "user", content: "two" }], completion: "c" },
];
const fromTraces = {
  steps: 6,
  data: { kind: "traces", batchSize: 2 },
  learningRate: { peak: 0.3 },
  validateEvery: 2,
  checkpointEvery: 3,
} satisfies SftConfigInput;
const fromRollouts = {
  ...fromTraces,
  data: { kind: "rollouts", samplesPerTask: 8, maxCompletionTokens: 2 },
} satisfies SftConfigInput;

interface Setup {
  readonly storage?: Map<string, string>;
  readonly engine?: SoftmaxEngineOptions;
  readonly options?: Partial<Pick<SftOptions<never, never>, "traces" | "runSeed" | "fingerprint">>;
}

function setUp(directory: string, config: SftConfigInput, setup: Setup = {}) {
  const storage = setup.storage ?? new Map<string, string>();
  const engine = createSoftmaxEngine({ ...setup.engine, storage });
  const train = () =>
    trainSft({
      ...letterOptions(directory, engine, storage),
      config,
      traces,
      environment: createLetterEnvironment({ tasks: twoTasks }),
      ...setup.options,
    });
  return { engine, storage, train };
}

describe("imitation of traces", () => {
  it("starts at the cross-entropy of a uniform policy, ln 4, and lowers it", async () => {
    await inNewFolder(async (directory) => {
      const { engine, train } = setUp(directory, { ...fromTraces, steps: 20 });
      const { history } = await train();
      const steps = stepsOf(history);
      expect(steps[0]?.update?.loss).toBeCloseTo(Math.log(4), 12);
      expect(steps[0]?.completions).toEqual({
        meanTokens: 2,
        minTokens: 2,
        maxTokens: 2,
        cutShare: 0,
      });
      expect(steps[0]).not.toHaveProperty("reward");
      expect(steps[0]?.update).not.toHaveProperty("clipFraction");
      expect(steps.at(-1)?.update?.loss).toBeLessThan(0.1);
      expect(engine.probability("one", "b")).toBeGreaterThan(0.9);
      expect(engine.probability("two", "c")).toBeGreaterThan(0.9);
      // Two completions of two tokens: each token is a quarter of the mean.
      expect(engine.imitated[0]?.map(({ weights }) => weights)).toEqual([
        [0.25, 0.25],
        [0.25, 0.25],
      ]);
    });
  });

  it("has the gradient that finite differences of the cross-entropy show", async () => {
    await inNewFolder(async (directory) => {
      const { engine, train } = setUp(
        directory,
        { ...fromTraces, steps: 1 },
        {
          engine: {
            onCall: (method) => {
              if (method === "optimStep") throw new EngineLostError("stopped for the test");
            },
          },
        },
      );
      engine.nudge("one", [], 2, 0.4);
      await expect(train()).rejects.toThrow(EngineLostError);
      const [sequences = []] = engine.imitated;
      const loss = () =>
        -sequences.flatMap((sequence) => engine.forward(sequence)).reduce((a, b) => a + b, 0) / 4;
      for (const token of [0, 1, 2, 3]) {
        engine.nudge("one", [], token, 1e-5);
        const above = loss();
        engine.nudge("one", [], token, -2e-5);
        const below = loss();
        engine.nudge("one", [], token, 1e-5);
        expect(Math.abs(engine.gradient("one", [], token) - (above - below) / 2e-5)).toBeLessThan(
          1e-9,
        );
      }
    });
  });

  it("draws every trace once before any again, in an order of its own for each pass", () => {
    const many = Array.from({ length: 5 }, (_, index): Trace => ({
      messages: [{ role: "user", content: String(index) }],
      completion: "a",
    }));
    const drawn = [0, 1, 2, 3, 4]
      .flatMap((step) => drawTraces(many, step, 2, 3))
      .map(({ messages }) => messages[0]?.content ?? "");
    expect(drawn.slice(0, 5).toSorted()).toEqual(["0", "1", "2", "3", "4"]);
    expect(drawn.slice(5).toSorted()).toEqual(["0", "1", "2", "3", "4"]);
    expect(drawn.slice(5)).not.toEqual(drawn.slice(0, 5));
    expect(drawTraces(many, 3, 2, 3)).toEqual(drawTraces(many, 3, 2, 3));
  });
});

describe("imitation of own rollouts", () => {
  it("raises the reward by imitating what was better than its group", async () => {
    await inNewFolder(async (directory) => {
      const { engine, train } = setUp(directory, { ...fromRollouts, steps: 25 });
      const { history } = await train();
      const steps = stepsOf(history);
      expect(steps[0]?.reward?.mean).toBeLessThan(0.6);
      expect(steps.at(-1)?.reward?.mean).toBeGreaterThan(0.9);
      expect(engine.probability("one", "b")).toBeGreaterThan(0.9);
      const kept = steps[0]?.samples?.trainedDecisions ?? 0;
      expect(kept).toBe(engine.imitated[0]?.length);
      expect(kept).toBe(Math.round((steps[0]?.reward?.mean ?? 0) * 16));
    });
  });

  it("keeps by threshold, by the mean and by rank, and never what was not scored", () => {
    const rewards = [0.2, undefined, 0.9, 0.5, 0.9, 0];
    expect(chooseKept(rewards, { kind: "threshold", reward: 0.5 })).toEqual([2, 3, 4]);
    expect(chooseKept(rewards, { kind: "threshold", reward: 0.95 })).toEqual([]);
    // The mean of the five is 0.5: one that equals it is not better.
    expect(chooseKept(rewards, { kind: "better-than-mean" })).toEqual([2, 4]);
    expect(chooseKept([0.1, 0.1, 0.1], { kind: "better-than-mean" })).toEqual([]);
    expect(chooseKept(rewards, { kind: "best", count: 1 })).toEqual([2]);
    expect(chooseKept(rewards, { kind: "best", count: 3 })).toEqual([2, 3, 4]);
    expect(chooseKept(rewards, { kind: "best", count: 3, atLeast: 0.6 })).toEqual([2, 4]);
    expect(chooseKept([], { kind: "best", count: 1 })).toEqual([]);
    expect(chooseKept([undefined], { kind: "better-than-mean" })).toEqual([]);
  });

  it("takes no step where nothing is kept", async () => {
    await inNewFolder(async (directory) => {
      const { engine, train } = setUp(directory, {
        ...fromRollouts,
        data: { ...fromRollouts.data, keep: { kind: "threshold", reward: 2 } },
      });
      const { history } = await train();
      expect(engine.imitated).toEqual([]);
      expect(stepsOf(history)[0]?.update).toBeNull();
    });
  });
});

describe("resuming", () => {
  for (const [name, config] of Object.entries({ traces: fromTraces, rollouts: fromRollouts }))
    it(`ends in the same bytes after a kill at many places, on ${name}`, async () => {
      const finish = async (directory: string, storage: Map<string, string>) => {
        await setUp(directory, config, { storage }).train();
        return {
          metrics: await readMetrics(directory),
          states: statesOf(storage),
        };
      };
      const whole = await inNewFolder((directory) => finish(directory, new Map()));
      const methods = [
        "imitate",
        "optimStep",
        "refreshSampler",
        "saveState",
        "saveSamplerWeights",
      ] as const;
      for (const method of methods)
        for (const call of [2, 3])
          await inNewFolder(async (directory) => {
            const storage = new Map<string, string>();
            let calls = 0;
            const lost = setUp(directory, config, {
              storage,
              engine: {
                onCall: (called) => {
                  if (called === method && ++calls === call) throw new EngineLostError("killed");
                },
              },
            });
            await expect(lost.train()).rejects.toThrow(EngineLostError);
            expect(await finish(directory, storage)).toEqual(whole);
          });
    });

  it("refuses other traces, another seed or another configuration", async () => {
    await inNewFolder(async (directory) => {
      const storage = new Map<string, string>();
      await setUp(directory, { ...fromTraces, steps: 1 }, { storage }).train();
      const first = traces[0];
      if (first === undefined) throw new Error("no traces");
      const others: readonly Setup["options"][] = [{ traces: [first] }, { runSeed: 8 }];
      for (const options of others)
        await expect(
          setUp(directory, fromTraces, { storage, ...(options && { options }) }).train(),
        ).rejects.toThrow(ResumeMismatchError);
      await expect(
        setUp(directory, { ...fromTraces, learningRate: { peak: 0.1 } }, { storage }).train(),
      ).rejects.toThrow(ResumeMismatchError);
    });
  });
});

describe("a traces file", () => {
  const line = JSON.stringify(traces[0]);

  it("is read line by line, unicode and empty lines included", async () => {
    await inNewFolder(async (directory) => {
      const path = join(directory, "traces.jsonl");
      const emoji = { messages: [{ role: "system", content: "é" }], completion: "🙂" };
      await writeFile(path, `${line}\n\n${JSON.stringify(emoji)}\r\n`);
      expect(await readTraces(path)).toEqual([traces[0], emoji]);
    });
  });

  it("is refused with the line that is wrong", async () => {
    await inNewFolder(async (directory) => {
      const path = join(directory, "traces.jsonl");
      const wrong = [
        "{",
        '{"messages":[],"completion":"a"}',
        '{"messages":[{"role":"user","content":"a"}],"completion":""}',
        '{"messages":[{"role":"tool","content":"a"}],"completion":"a"}',
        '{"messages":[{"role":"user","content":"a"}],"completion":"a","answer":1}',
      ];
      for (const bad of wrong) {
        await writeFile(path, `${line}\n${bad}\n`);
        const reading = readTraces(path);
        await expect(reading).rejects.toThrow(DataFormatError);
        await expect(reading).rejects.toThrow("line 2");
      }
      await writeFile(path, "\n");
      await expect(readTraces(path)).rejects.toThrow(/holds no trace/);
      await expect(readTraces(join(directory, "none.jsonl"))).rejects.toThrow(ConfigError);
    });
  });
});

it("wants what its data are", async () => {
  await inNewFolder(async (directory) => {
    const engine = createSoftmaxEngine();
    const options = letterOptions(directory, engine, new Map());
    await expect(trainSft({ ...options, config: fromTraces })).rejects.toThrow(/readTraces/);
    await expect(trainSft({ ...options, config: fromRollouts })).rejects.toThrow(/environment/);
  });
});
