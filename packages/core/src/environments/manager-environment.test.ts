import type { EpisodeReward, Question } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createAnswerAgent } from "../answer/answer-agent.ts";
import { createMemoryManager } from "../manager/memory-manager.ts";
import { createBm25Retriever } from "../retrieval/bm25-retriever.ts";
import { allQuestions, conversation, questions } from "./__fixtures__/ana-and-ben.ts";
import { createInformedReader, readPrompt } from "./__fixtures__/informed-reader.ts";
import { createMetricGrader } from "./grading.ts";
import { createManagerEnvironment, type ManagerEnvironmentOptions } from "./manager-environment.ts";
import type { ManagerEpisode } from "./manager-episode.ts";
import type { ManagerTask } from "./manager-tasks.ts";

const retriever = createBm25Retriever();

/** Exact match; undefined where there is no gold answer. */
function score(prediction: string, question: Question): number | undefined {
  if (question.gold === undefined) return undefined;
  return prediction === question.gold ? 1 : 0;
}

/** Every start bank is all that was said before, and the reader sees the whole bank, unless a test says otherwise. */
function environment(changes: Partial<ManagerEnvironmentOptions> = {}) {
  return createManagerEnvironment({
    conversations: [conversation],
    questions: allQuestions,
    tasksPerStep: 6,
    seed: 1,
    factsPerEpisode: 1,
    emptyBankShare: 0,
    bankSizes: [99, 99],
    manager: createMemoryManager({
      format: "compact",
      constrained: true,
      shownCount: 3,
      retriever,
    }),
    reader: readerOf(createInformedReader()),
    grade: createMetricGrader(score),
    newFactWeight: 0.5,
    maxNewFactQuestions: 3,
    maxShownQuestions: 3,
    invalidPenalty: 0.1,
    ...changes,
  });
}

function readerOf(generator: ManagerEnvironmentOptions["reader"]["generator"]) {
  return { generator, agent: createAnswerAgent({ variant: "short" }), retriever, count: 8 };
}

type ManagerEnvironment = ReturnType<typeof environment>;

/** The task whose first fact is about this question. */
async function taskOf(
  env: ManagerEnvironment,
  { evidenceTurnIds }: Question,
): Promise<ManagerTask> {
  const task = (await env.tasks(0)).find(
    ({ facts }) => facts[0]?.fact.sourceTurnIds[0] === evidenceTurnIds[0],
  );
  if (task === undefined) throw new Error(`no task starts at ${evidenceTurnIds[0]}`);
  return task;
}

/**
 * One rollout a reply; several replies of a multi-fact rollout are divided by "|". `#text#` stands for the number under
 * which the prompt shows the memory of that text.
 */
async function playGroup(
  env: ManagerEnvironment,
  task: ManagerTask,
  rollouts: readonly string[],
): Promise<ManagerEpisode<ManagerTask>[]> {
  return Promise.all(
    rollouts.map(async (rollout) => {
      const episode = env.start(task);
      for (const reply of rollout.split("|")) {
        const prompt = await episode.nextPrompt();
        const text = reply.replaceAll(/#(.+?)#/g, (_, memory: string) =>
          String((prompt?.shown.findIndex((entry) => entry.text === memory) ?? -1) + 1),
        );
        await episode.act({ text, stopReason: "stop" });
      }
      return episode;
    }),
  );
}

async function rewardsOf(
  env: ManagerEnvironment,
  question: Question,
  rollouts: readonly string[],
): Promise<readonly EpisodeReward[]> {
  return env.rewards(await playGroup(env, await taskOf(env, question), rollouts));
}

const valuesOf = (rewards: readonly EpisodeReward[]) => rewards.map(({ reward }) => reward);
const sourcesOf = (task: ManagerTask) => [
  ...task.bank.entries().flatMap((entry) => entry.sourceTurnIds),
  ...task.facts.flatMap(({ fact }) => fact.sourceTurnIds),
];

describe("the Manager's reward", () => {
  // The new fact is that Ana teaches nine pupils. The prompt shows that she lives in Lisbon and plays the harp, which
  // city, instrument and pet are about.
  it("ranks adding and merging over leaving, and leaving over losing what is asked", async () => {
    const rewards = await rewardsOf(environment(), questions.pupils, [
      "ADD: Ana teaches nine pupils",
      "UPDATE #Ana lives in Lisbon#: Ana lives in Lisbon and teaches nine pupils",
      "UPDATE #Ana lives in Lisbon#: Ana teaches nine pupils",
      "NOOP",
      "UPDATE #Ana lives in Lisbon#: Ana is nice",
      "DELETE #Ana lives in Lisbon#",
      "ADD: Ana is nice",
    ]);
    expect(valuesOf(rewards)).toEqual([
      1, // 1/2 of 1 new question, 1/2 of 3 shown ones
      1,
      expect.closeTo(1 / 2 + 1 / 3, 12), // the city is lost
      0.5,
      expect.closeTo(1 / 3, 12), // the city is lost for nothing
      expect.closeTo(1 / 3, 12),
      0.5,
    ]);
    expect(rewards[4]?.metrics).toEqual({
      unparsable: 0,
      rejected: 0,
      bankSize: 3,
      bankGrowth: 0,
      facts: 1,
      "reader/questions": 4,
      "reader/questionsShared": 0,
      "operations/ADD": 0,
      "operations/UPDATE": 1,
      "operations/DELETE": 0,
      "operations/NOOP": 0,
    });
  });

  it("follows its weight between new and shown questions", async () => {
    const rollouts = ["ADD: Ana teaches nine pupils", "NOOP"];
    const values = async (newFactWeight: number) =>
      valuesOf(await rewardsOf(environment({ newFactWeight }), questions.pupils, rollouts));
    expect(await values(0)).toEqual([1, 1]);
    expect(await values(0.25)).toEqual([1, 0.75]);
    expect(await values(1)).toEqual([1, 0]);
  });

  it("does not punish leaving a fact that is known against adding it again", async () => {
    const rewards = await rewardsOf(environment(), questions.home, [
      "NOOP",
      "ADD: Ana lives in Lisbon",
      "DELETE #Ana lives in Lisbon#",
    ]);
    const [noop, add, lost] = valuesOf(rewards);
    expect([noop, add]).toEqual([1, 1]);
    expect(lost).toBeLessThan(0.5);
  });

  it("is that of the new fact alone where nothing is shown", async () => {
    const env = environment({ emptyBankShare: 1 });
    const rollouts = ["ADD: Ana lives in Lisbon", "NOOP"];
    expect(valuesOf(await rewardsOf(env, questions.city, rollouts))).toEqual([1, 0]);
  });

  it("counts a reply that cannot be read or applied, and takes the penalty", async () => {
    const rewards = await rewardsOf(environment(), questions.pupils, ["Sure!", "DELETE 9", "NOOP"]);
    expect(valuesOf(rewards)).toEqual([0.4, 0.4, 0.5]);
    expect(rewards.map(({ metrics }) => metrics["unparsable"])).toEqual([1, 1, 0]);

    const format = "mem0-json";
    const manager = createMemoryManager({ format, constrained: false, shownCount: 3, retriever });
    const twice = { id: "1", text: "Ana lives in Lisbon", event: "DELETE" };
    const [rejected] = await rewardsOf(environment({ manager }), questions.pupils, [
      JSON.stringify({ memory: [twice, twice] }),
    ]);
    expect(rejected?.metrics).toMatchObject({ rejected: 1, "operations/DELETE": 1 });
    expect(rejected?.reward).toBeCloseTo(1 / 3 - 0.1, 12);
  });

  it("masks the sample where the reader's call failed, and no other", async () => {
    const reader = createInformedReader((_, memories) =>
      memories.some((line) => line.includes("nine")) ? undefined : "fail",
    );
    const env = environment({ reader: readerOf(reader) });
    const rollouts = ["ADD: Ana teaches nine pupils", "NOOP"];
    const rewards = await rewardsOf(env, questions.pupils, rollouts);
    expect(valuesOf(rewards)).toEqual([1, undefined]);
    // What the policy did is logged all the same.
    expect(rewards[1]?.metrics["operations/NOOP"]).toBe(1);
  });

  it("scores 0 for a reply of the reader that holds no answer", async () => {
    const reader = createInformedReader((question) =>
      question === questions.pupils.text ? "\n" : undefined,
    );
    const env = environment({ reader: readerOf(reader) });
    const rollouts = ["ADD: Ana teaches nine pupils"];
    expect(valuesOf(await rewardsOf(env, questions.pupils, rollouts))).toEqual([0.5]);
  });

  it("masks the sample where the metric cannot grade", async () => {
    const env = environment({ grade: createMetricGrader(() => undefined) });
    expect(valuesOf(await rewardsOf(env, questions.pupils, ["NOOP"]))).toEqual([undefined]);
  });

  it("asks all rollouts of a group the same questions", async () => {
    const reader = createInformedReader();
    const env = environment({ reader: readerOf(reader), maxShownQuestions: 2 });
    const rollouts = ["NOOP", "ADD: a", "ADD: b", "DELETE 1", "UPDATE 2: c"];
    const rewards = await rewardsOf(env, questions.pupils, rollouts);
    expect(rewards).toHaveLength(5);
    const questionsOfBank = new Map<string, string[]>();
    for (const request of reader.calls.flat()) {
      const { question, memories } = readPrompt(request);
      const bank = memories.join("\n");
      questionsOfBank.set(bank, [...(questionsOfBank.get(bank) ?? []), question].toSorted());
    }
    const [first, ...others] = questionsOfBank.values();
    expect(others).toHaveLength(4);
    expect(first).toHaveLength(3);
    for (const other of others) expect(other).toEqual(first);
  });

  it("asks in one call, again at every step: no answer depends on what was asked before", async () => {
    const reader = createInformedReader();
    const env = environment({ reader: readerOf(reader) });
    const episodes = await playGroup(env, await taskOf(env, questions.pupils), ["NOOP", "ADD: a"]);
    const first = await env.rewards(episodes);
    expect(await env.rewards(episodes)).toEqual(first);
    expect(reader.calls).toHaveLength(2);
    expect(reader.calls[1]).toEqual(reader.calls[0]);
  });

  it("scores episodes of several facts once, at their end", async () => {
    const env = environment({ factsPerEpisode: 2 });
    const task = await taskOf(env, questions.instrument);
    expect(task.facts).toHaveLength(2);
    expect(task.newFactQuestions.map(({ id }) => id).toSorted()).toEqual(
      [questions.instrument, questions.pet, questions.pupils].map(({ id }) => id).toSorted(),
    );
    const rollouts = [
      "ADD: Ana plays the harp|ADD: Ana teaches nine pupils",
      "ADD: Ana plays the harp|Sure!",
      "ADD: Ana plays the harp|DELETE #Ana plays the harp#",
    ];
    const rewards = await env.rewards(await playGroup(env, task, rollouts));
    expect(valuesOf(rewards)).toEqual([
      1,
      expect.closeTo(1 / 2 + 2 / 6 - 0.1 / 2, 12), // the penalty is per fact
      expect.closeTo(1 / 2 + 1 / 6, 12), // the parrot is all that is left of the new questions' answers
    ]);
    expect(rewards[0]?.metrics).toMatchObject({ bankSize: 4, bankGrowth: 2, "operations/ADD": 2 });
  });
});

describe("the Manager's tasks", () => {
  const startOf = ({ id }: ManagerTask) => id.split("/")[1] ?? "";

  async function tasksOfSteps(env: ManagerEnvironment, count: number): Promise<ManagerTask[]> {
    const steps = Array.from({ length: count }, (_, step) => env.tasks(step));
    return (await Promise.all(steps)).flat();
  }

  it("start at every fact that somebody asks about, each once an epoch", async () => {
    const env = environment({ tasksPerStep: 4 });
    const tasks = await tasksOfSteps(env, 3);
    for (const epoch of [tasks.slice(0, 6), tasks.slice(6)]) {
      expect(epoch.map(startOf).toSorted()).toEqual(
        [0, 1, 2, 3, 4, 5].map((index) => `fact-${index}+1`),
      );
    }
  });

  it("are a function of step and seed alone", async () => {
    const options = { bankSizes: [1, 5], emptyBankShare: 0.3, maxShownQuestions: 1 } as const;
    const describeTasks = async (seed: number, step: number) => {
      const env = environment({ ...options, seed });
      return (await env.tasks(step)).map((task) => [
        env.taskId(task),
        task.bank.entries().map(({ text }) => text),
        [...task.newFactQuestions, ...task.shownQuestions].map(({ id }) => id),
      ]);
    };
    expect(await describeTasks(1, 7)).toEqual(await describeTasks(1, 7));
    expect(await describeTasks(2, 7)).not.toEqual(await describeTasks(1, 7));
    expect(await describeTasks(1, 8)).not.toEqual(await describeTasks(1, 7));
  });

  it("start from the empty bank as often as they are told to", async () => {
    const tasksOf = async (emptyBankShare: number, bankSizes: readonly [number, number]) => {
      const env = environment({ emptyBankShare, bankSizes });
      return (await tasksOfSteps(env, 20)).filter((task) => startOf(task) !== "fact-0+1");
    };
    // Six tasks a step are an epoch, of which one starts at the first fact, before which there is nothing.
    const always = await tasksOf(1, [2, 5]);
    expect(always).toHaveLength(20 * 5);
    expect(new Set(always.map(({ bank }) => bank.size()))).toEqual(new Set([0]));
    const never = await tasksOf(0, [1, 1]);
    expect(new Set(never.map(({ bank }) => bank.size()))).toEqual(new Set([1]));
    const sometimes = (await tasksOf(0.25, [1, 1])).filter(({ bank }) => bank.size() === 0);
    // 25 of 100 on average; twelve either way are less than three standard deviations of 4.3.
    expect(Math.abs(sometimes.length - 25)).toBeLessThan(13);
  });

  it("start from the facts just before, as many as drawn and as there are", async () => {
    const { bank } = await taskOf(environment({ bankSizes: [2, 2] }), questions.pupils);
    expect(bank.entries().map(({ text }) => text)).toEqual([
      "Ben has a parrot named Kiwi",
      "Ana plays the harp",
    ]);
    const env = environment({ bankSizes: [2, 4] });
    const tasks = await tasksOfSteps(env, 20);
    const sizes = new Map<string, Set<number>>();
    for (const task of tasks) {
      const start = startOf(task);
      sizes.set(start, (sizes.get(start) ?? new Set()).add(task.bank.size()));
    }
    expect(sizes.get("fact-0+1")).toEqual(new Set([0]));
    expect(sizes.get("fact-1+1")).toEqual(new Set([1]));
    expect(sizes.get("fact-5+1")).toEqual(new Set([2, 3, 4]));
  });

  it.each([1, 3])(
    "of %i facts ask about shown memories nothing that is out of reach",
    async (factsPerEpisode) => {
      const env = environment({ factsPerEpisode, bankSizes: [1, 4], emptyBankShare: 0.2 });
      const tasks = await tasksOfSteps(env, 5);
      for (const task of tasks) {
        const inReach = sourcesOf(task);
        for (const question of task.shownQuestions) {
          expect(inReach, task.id).toEqual(expect.arrayContaining([...question.evidenceTurnIds]));
          expect(task.newFactQuestions).not.toContain(question);
        }
        expect(task.newFactQuestions.length).toBeGreaterThan(0);
        expect(task.newFactQuestions.concat(task.shownQuestions)).not.toContain(questions.ungraded);
      }
      expect(tasks.some((task) => task.shownQuestions.includes(questions.pet))).toBe(true);
    },
  );

  it("leave out a question about a shown memory whose other half is not in the bank", async () => {
    // The bank is the harp alone: what it says of the parrot's friend needs the parrot.
    const { bank, shownQuestions } = await taskOf(
      environment({ bankSizes: [1, 1] }),
      questions.pupils,
    );
    expect(bank.entries().map(({ text }) => text)).toEqual(["Ana plays the harp"]);
    expect(shownQuestions).toEqual([questions.instrument]);
  });

  it("ask at most as many questions as they are told to", async () => {
    const env = environment({ maxNewFactQuestions: 1, maxShownQuestions: 0 });
    for (const task of await env.tasks(0)) {
      expect([task.newFactQuestions.length, task.shownQuestions.length]).toEqual([1, 0]);
    }
  });

  it("are none where nobody asks anything", async () => {
    expect(await environment({ questions: [questions.ungraded] }).tasks(0)).toEqual([]);
  });
});
