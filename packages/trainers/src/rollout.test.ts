import type { EpisodeReward } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createLetterEnvironment, type LetterEpisode } from "./__fixtures__/letter-environment.ts";
import { twoTasks } from "./__fixtures__/letter-run.ts";
import { createSoftmaxEngine, type SoftmaxEngine } from "./__fixtures__/softmax-engine.ts";
import { rollOut, type RolloutConfig } from "./rollout.ts";
import type { Timer } from "./training-loop.ts";

const timer: Timer = { measure: (_phase, work) => work(), take: () => ({}) };
const config = {
  samplesPerTask: 4,
  maxCompletionTokens: 2,
  resampleTries: 0,
  samplingParts: 1,
} satisfies RolloutConfig;

function roll(
  environment: ReturnType<typeof createLetterEnvironment>,
  settings: Partial<RolloutConfig> = {},
  engine: SoftmaxEngine = createSoftmaxEngine(),
) {
  const all = { environment, engine, stage: "letters", runSeed: 7 };
  return rollOut({ ...all, config: { ...config, ...settings } }, 0, timer);
}

describe("groups without variance", () => {
  /** Task "two" is worth nothing until it has been sampled `draws` times. */
  function createStubbornEnvironment(draws: number) {
    const environment = createLetterEnvironment({ tasks: twoTasks });
    let scored = 0;
    const rewards = async (episodes: readonly LetterEpisode[]): Promise<readonly EpisodeReward[]> =>
      episodes.map((episode, index) => {
        if (episode.task.id === "one") return { reward: index % 2, metrics: {} };
        const draw = Math.floor(scored++ / 4);
        return { reward: draw < draws ? 0.5 : index % 2, metrics: {} };
      });
    return { ...environment, rewards };
  }

  it("are left as they are by default", async () => {
    const rollout = await roll(createStubbornEnvironment(1));
    expect(rollout.groupRewards).toEqual([
      [0, 1, 0, 1],
      [0.5, 0.5, 0.5, 0.5],
    ]);
    expect(rollout.resampled).toBe(0);
  });

  it("are sampled again until one has variance, with other seeds, and the first draw stays in the reward", async () => {
    const engine = createSoftmaxEngine();
    const rollout = await roll(createStubbornEnvironment(2), { resampleTries: 5 }, engine);
    expect(rollout.groupRewards[1]).toEqual([0, 1, 0, 1]);
    expect(rollout.resampled).toBe(2);
    expect(rollout.firstRewards).toEqual([0, 1, 0, 1, 0.5, 0.5, 0.5, 0.5]);
    expect(rollout.samples).toHaveLength(8);
    // Two tasks, then the second of them twice more.
    expect(engine.requests).toHaveLength(4);
    expect(new Set(engine.requests.map(({ seed }) => seed)).size).toBe(4);
  });

  it("keep their first draw where no try has variance", async () => {
    const rollout = await roll(createStubbornEnvironment(9), { resampleTries: 3 });
    expect(rollout.resampled).toBe(3);
    expect(rollout.groupRewards[1]).toEqual([0.5, 0.5, 0.5, 0.5]);
  });

  it("are not sampled again where they could not be scored", async () => {
    const environment = createLetterEnvironment({
      tasks: twoTasks,
      reward: (episode) => (episode.task.id === "one" ? 1 : undefined),
    });
    const rollout = await roll(environment, { resampleTries: 1 });
    // One of the two is worth 1 throughout, the other is not known.
    expect(rollout.resampled).toBe(1);
    expect(rollout.groupRewards[1]).toEqual([undefined, undefined, undefined, undefined]);
  });
});

describe("scoring beside sampling", () => {
  const tasks = [
    { id: "short", letters: "b" },
    { id: "long", letters: "bc" },
  ] as const;

  /** Notes what happens when. */
  function createObserved() {
    const events: string[] = [];
    const environment = createLetterEnvironment({ tasks });
    const engine = createSoftmaxEngine();
    return {
      events,
      environment: {
        ...environment,
        async rewards(episodes: readonly LetterEpisode[]) {
          events.push(`score ${episodes.map(({ task }) => task.id).join(" ")}`);
          // Done long after the next wave.
          await new Promise((resolve) => setTimeout(resolve, 20));
          events.push("scored");
          return environment.rewards(episodes);
        },
      },
      engine: {
        ...engine,
        generate: async (...batch: Parameters<SoftmaxEngine["generate"]>) => {
          events.push("sample");
          return engine.generate(...batch);
        },
      },
    };
  }

  it("scores episodes of one wave together while the next is sampled, with the same rewards", async () => {
    const { events, environment, engine } = createObserved();
    const rollout = await roll(environment, { samplesPerTask: 2 }, engine);
    expect(events).toEqual([
      "sample",
      "score short short",
      "sample",
      "score long long",
      "scored",
      "scored",
    ]);
    const plain = await roll(createLetterEnvironment({ tasks }), { samplesPerTask: 2 });
    expect(rollout.groupRewards).toEqual(plain.groupRewards);
  });

  it("samples parts of a step one after the other, with the same samples", async () => {
    const { events, environment, engine } = createObserved();
    const rollout = await roll(environment, { samplesPerTask: 2, samplingParts: 5 }, engine);
    expect(events.slice(0, 4)).toEqual(["sample", "score short short", "sample", "sample"]);
    const whole = await roll(createLetterEnvironment({ tasks }), { samplesPerTask: 2 });
    expect(rollout.samples.map(({ decisions }) => decisions)).toEqual(
      whole.samples.map(({ decisions }) => decisions),
    );
  });

  it("tells of a failed reward, and of a failed sampler before one", async () => {
    const { environment, engine } = createObserved();
    const rewards = () => Promise.reject(new Error("the judge is gone"));
    await expect(roll({ ...environment, rewards }, {}, engine)).rejects.toThrow("judge");
    let calls = 0;
    const dying: SoftmaxEngine = {
      ...engine,
      generate: (batch) =>
        ++calls === 2 ? Promise.reject(new Error("the engine is gone")) : engine.generate(batch),
    };
    await expect(roll({ ...environment, rewards }, {}, dying)).rejects.toThrow("engine");
  });
});
