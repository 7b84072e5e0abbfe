import {
  ConfigError,
  type Conversation,
  type EmbeddingModel,
  type Question,
  type TextGenerator,
} from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createAnswerAgent } from "../answer/answer-agent.ts";
import { createMemoryBank } from "../bank/memory-bank.ts";
import { createMemoryManager } from "../manager/memory-manager.ts";
import { createBm25Retriever } from "../retrieval/bm25-retriever.ts";
import { createDenseRetriever } from "../retrieval/dense-retriever.ts";
import type { Retriever } from "../retrieval/retriever.ts";
import { allQuestions, conversation, questions } from "./__fixtures__/ana-and-ben.ts";
import { createInformedReader } from "./__fixtures__/informed-reader.ts";
import { bankContentKey } from "./bank-content.ts";
import { createMetricGrader } from "./grading.ts";
import { createManagerEnvironment, type ManagerEnvironmentOptions } from "./manager-environment.ts";
import type { ManagerEpisode } from "./manager-episode.ts";
import type { ManagerTask } from "./manager-tasks.ts";

const bm25 = createBm25Retriever();
const grade = createMetricGrader((prediction, { gold }) =>
  gold === undefined ? undefined : prediction === gold ? 1 : 0,
);

function environment(
  changes: Partial<ManagerEnvironmentOptions> = {},
  {
    retriever = bm25,
    reader = createInformedReader(),
    count = 8,
  }: { retriever?: Retriever; reader?: TextGenerator; count?: number } = {},
) {
  return createManagerEnvironment({
    conversations: [conversation],
    questions: allQuestions,
    tasksPerStep: 2,
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
    reader: { generator: reader, agent: createAnswerAgent({ variant: "short" }), retriever, count },
    grade,
    newFactWeight: 0.5,
    maxNewFactQuestions: 3,
    maxShownQuestions: 3,
    invalidPenalty: 0.1,
    ...changes,
  });
}

type ManagerEnvironment = ReturnType<typeof environment>;
type Policy = (fact: string, position: number) => string;

const keep: Policy = (fact) => `ADD: ${fact}`;
const leave: Policy = () => "NOOP";

async function play(env: ManagerEnvironment, task: ManagerTask, policy: Policy) {
  const episode = env.start(task);
  for (const [position, { fact }] of task.facts.entries()) {
    await episode.nextPrompt();
    await episode.act({ text: policy(fact.text, position), stopReason: "stop" });
  }
  expect(await episode.nextPrompt()).toBeUndefined();
  return episode;
}

const playAll = (env: ManagerEnvironment, task: ManagerTask, policies: readonly Policy[]) =>
  Promise.all(policies.map((policy) => play(env, task, policy)));

async function rewardsOf(env: ManagerEnvironment, task: ManagerTask, policies: readonly Policy[]) {
  const rewards = await env.rewards(await playAll(env, task, policies));
  return rewards.map(({ reward }) => reward);
}

/** The task of a step whose first fact this is. */
async function taskFrom(env: ManagerEnvironment, turnId: string): Promise<ManagerTask> {
  const task = (await env.tasks(0)).find(({ facts }) => facts[0]?.fact.sourceTurnIds[0] === turnId);
  if (task === undefined) throw new Error(`no task begins at ${turnId}`);
  return task;
}

const idsOf = (asked: readonly Question[]) => asked.map(({ id }) => id).toSorted();

/** The policy of one reply for each fact in turn. */
const inTurn =
  (...replies: readonly string[]): Policy =>
  (_, position) =>
    replies[position] ?? "NOOP";

describe("episodes of whole sessions", () => {
  it("begin at any session, with the empty bank and what these sessions answer", async () => {
    const env = environment({ sessions: 1 });
    const [first, second] = [await taskFrom(env, "D1:1"), await taskFrom(env, "D2:1")];
    expect([first.bank.size(), second.bank.size()]).toEqual([0, 0]);
    expect([first.facts.length, second.facts.length]).toEqual([3, 4]);
    const { city, parrot, instrument, pet, pupils, kitchen, home } = questions;
    expect(idsOf(first.newFactQuestions)).toEqual(idsOf([city, parrot, instrument, pet]));
    expect(idsOf(second.newFactQuestions)).toEqual(idsOf([pupils, kitchen, home]));
    expect([first.id, second.id]).toEqual(["ana-and-ben/session-0+1", "ana-and-ben/session-1+1"]);
  });

  it.each([2, 9])("of %i sessions are the whole of a conversation of two", async (sessions) => {
    const tasks = await environment({ sessions }).tasks(0);
    expect(tasks.map(({ facts }) => facts.length)).toEqual([7, 7]);
    expect(tasks[0]?.sessionStarts).toEqual([0, 3]);
    expect(tasks[0]?.newFactQuestions).toHaveLength(7);
  });

  it("ask at most as many questions as they are told to", async () => {
    const env = environment({ sessions: 2, maxEpisodeQuestions: 2 });
    for (const task of await env.tasks(0)) expect(task.newFactQuestions).toHaveLength(2);
  });

  it("pay for what the Manager's own bank answers at their end", async () => {
    const env = environment({ sessions: 1 });
    const task = await taskFrom(env, "D1:1");
    const rewards = await rewardsOf(env, task, [
      keep,
      // Without the parrot neither its name nor the pet is known: 2 of 4.
      (fact, position) => (position === 1 ? "NOOP" : keep(fact, position)),
      // The second fact of Ana overwrites the first: the city is lost, 3 of 4.
      (fact, position) => (position === 2 ? `UPDATE 1: ${fact}` : keep(fact, position)),
      (fact, position) =>
        position === 2 ? `UPDATE 1: Ana in Lisbon plays the harp` : keep(fact, position),
      leave,
      // 1 of 3 replies makes no sense.
      inTurn("Sure!"),
    ]);
    expect(rewards).toEqual([1, 0.5, 0.75, 1, 0, expect.closeTo(-0.1 / 3, 12)]);
  });

  it("rank the bank of the evidence over the empty one, and the empty one over a shuffled one", async () => {
    // Asked without memories, the reader guesses, and is right once in four; wrong memories lead it away.
    const reader = createInformedReader((_, memories) =>
      memories.join() === "(none)" ? "Lisbon" : undefined,
    );
    const env = environment({ sessions: 1 }, { reader });
    const shuffled: Policy = (fact) => `ADD: ${fact.split(" ").at(0)} sleeps`;
    const task = await taskFrom(env, "D1:1");
    expect(await rewardsOf(env, task, [keep, leave, shuffled])).toEqual([1, 0.25, 0]);
  });

  it("need local re-rollouts to be told of sessions", () => {
    expect(() => environment({ local: { share: 1, samples: 2 } })).toThrow(ConfigError);
  });
});

describe("a curriculum", () => {
  it("lengthens the episodes once a validation is healthy, and after a resume as before it", async () => {
    const options = { sessions: { sessions: [1, 2], maxEvidenceMissing: 0.1 } };
    const observed = { step: 5, healthy: true, metrics: { evidenceMissing: 0.05 } };
    const env = environment(options);
    const lengths = async (one: ManagerEnvironment) =>
      (await one.tasks(1)).map(({ sessionStarts }) => sessionStarts?.length);
    expect(await lengths(env)).toEqual([1, 1]);
    env.observe?.({ ...observed, metrics: { evidenceMissing: 0.1 } });
    expect(await lengths(env)).toEqual([1, 1]);
    env.observe?.(observed);
    expect(await lengths(env)).toEqual([2, 2]);
    const resumed = environment(options);
    resumed.observe?.(observed);
    const ids = async (one: ManagerEnvironment) => (await one.tasks(1)).map(({ id }) => id);
    expect(await ids(resumed)).toEqual(await ids(env));
  });
});

describe("local re-rollouts", () => {
  const local = { share: 1, samples: 3 };

  it("begin every session from the memory of one rollout, and ask about that session and what is shown", async () => {
    const env = environment({ sessions: 2, local });
    const [task] = await env.tasks(0);
    if (task === undefined) throw new Error("there is a task");
    const forgetful: Policy = (fact, position) => (position === 1 ? "NOOP" : keep(fact, position));
    const episodes = await playAll(env, task, [forgetful, forgetful]);
    const tasks = (await env.localTasks?.(0, episodes)) ?? [];
    expect(tasks.map(({ id }) => id)).toEqual([
      expect.stringMatching(/^ana-and-ben\/session-0\+2\/again-0-of-[01]$/),
      expect.stringMatching(/^ana-and-ben\/session-0\+2\/again-1-of-[01]$/),
    ]);
    const [first, second] = tasks;
    expect(first?.bank.size()).toBe(0);
    // What both rollouts had kept of the first session.
    expect(second?.bank.entries().map(({ text }) => text)).toEqual([
      "Ana lives in Lisbon",
      "Ana plays the harp",
    ]);
    expect(second?.facts.map(({ fact }) => fact.sourceTurnIds[0])).toEqual([
      "D2:1",
      "D2:2",
      "D2:3",
      "D2:4",
    ]);
    const { pupils, kitchen, home, city, instrument, pet } = questions;
    expect(idsOf(second?.newFactQuestions ?? [])).toEqual(idsOf([pupils, kitchen, home]));
    // The pet's question needs the parrot, too, which was told and so is in reach, but left.
    expect(idsOf(second?.shownQuestions ?? [])).toEqual(idsOf([city, instrument, pet]));
    expect(tasks.map((one) => env.samplesOf?.(one))).toEqual([3, 3]);
    expect(env.samplesOf?.(task)).toBeUndefined();

    if (second === undefined) return;
    // 3 of 3 new, 2 of 3 shown; 1 of 3 new (Lisbon is known already), 2 of 3 shown.
    const rewards = await rewardsOf(env, second, [keep, leave]);
    expect(rewards).toEqual([expect.closeTo(1 / 2 + 1 / 3, 12), expect.closeTo(1 / 6 + 1 / 3, 12)]);
    expect(second.bank.size()).toBe(2);
  });

  it("take the bank of the rollout that they name", async () => {
    const env = environment({ sessions: 2, local });
    const [task] = await env.tasks(0);
    if (task === undefined) throw new Error("there is a task");
    const episodes = await playAll(env, task, [keep, leave]);
    const tasks = await Promise.all(
      Array.from({ length: 12 }, async (_, step) => (await env.localTasks?.(step, episodes)) ?? []),
    );
    const later = tasks.flat().filter(({ id }) => id.includes("again-1"));
    const sizes = new Set(later.map(({ id, bank }) => `${id.at(-1)}: ${bank.size()}`));
    expect(sizes).toEqual(new Set(["0: 3", "1: 0"]));
  });

  it("are a function of step and seed, as many as their share says, and none unless asked for", async () => {
    const env = environment({ sessions: 2, local: { share: 0.5, samples: 2 } });
    const [task] = await env.tasks(0);
    if (task === undefined) throw new Error("there is a task");
    const episodes = await playAll(env, task, [keep, leave]);
    const idsAt = async (one: ManagerEnvironment, step: number) =>
      ((await one.localTasks?.(step, episodes)) ?? []).map(({ id }) => id);
    const steps = await Promise.all(Array.from({ length: 50 }, (_, step) => idsAt(env, step)));
    expect(await idsAt(env, 7)).toEqual(steps[7]);
    // 50 of 100 on average, with a deviation of 5.
    expect(Math.abs(steps.flat().length - 50)).toBeLessThan(16);
    expect(await idsAt(environment({ sessions: 2 }), 0)).toEqual([]);
    const decisions = environment({ sessions: 2, local });
    expect(await decisions.localTasks?.(0, [])).toEqual([]);
  });
});

describe("equal banks", () => {
  it("of different operations are answered once, which is counted", async () => {
    const reader = createInformedReader();
    const env = environment({ sessions: 1 }, { reader });
    const task = await taskFrom(env, "D1:1");
    const text = "Ana lives in Lisbon ñ 😀";
    const rewards = await env.rewards(
      await playAll(env, task, [
        inTurn(`ADD: ${text}`, "NOOP", "NOOP"),
        inTurn("NOOP", "NOOP", `ADD: ${text}`),
        inTurn("ADD: Ana", "Sure!", `UPDATE 1: ${text}`),
        leave,
        leave,
        // Composed and decomposed, two texts and so two banks.
        inTurn(`ADD: ${text.normalize("NFD")}`, "NOOP", "NOOP"),
      ]),
    );
    expect(rewards.map(({ reward }) => reward)).toEqual([
      0.25,
      0.25,
      expect.closeTo(0.25 - 0.1 / 3, 12),
      0,
      0,
      0.25,
    ]);
    // Three banks, four questions each.
    expect(reader.calls.map((requests) => requests.length)).toEqual([12]);
    const shared = rewards.map(({ metrics }) => metrics["reader/questionsShared"]);
    expect(shared).toEqual([0, 4, 4, 0, 4, 0]);
    expect(rewards.map(({ metrics }) => metrics["reader/questions"])).toEqual([4, 4, 4, 4, 4, 4]);
  });

  it("differ by text, participant, date or order, and not by what led to them", () => {
    const add = (text: string, participant = "Ana", date = "today") => ({
      text,
      participant,
      date,
    });
    const keyOf = (...entries: readonly ReturnType<typeof add>[]) => {
      const bank = createMemoryBank();
      for (const { text, ...source } of entries)
        bank.apply({ kind: "ADD", text }, { actor: "a", sourceTurnIds: [text], ...source });
      return bankContentKey(bank);
    };
    expect(keyOf()).toBe(keyOf());
    const keys = [
      keyOf(),
      keyOf(add("a")),
      keyOf(add("a", "Ben")),
      keyOf(add("a", "Ana", "tomorrow")),
      keyOf(add("a"), add("b")),
      keyOf(add("b"), add("a")),
    ];
    expect(new Set(keys).size).toBe(keys.length);
  });

  it("and candidates on copies embed no text twice", async () => {
    const embedded: string[] = [];
    const model: EmbeddingModel = {
      description: "counting",
      embed: (texts) => {
        embedded.push(...texts);
        return Promise.resolve(
          texts.map((text) => Float32Array.from([text.length, text.charCodeAt(0), 1])),
        );
      },
    };
    const retriever = createDenseRetriever(model);
    const env = environment({ sessions: 2, local: { share: 1, samples: 2 } }, { retriever });
    const [task] = await env.tasks(0);
    if (task === undefined) throw new Error("there is a task");
    const policies = [keep, keep, leave];
    const episodes = await playAll(env, task, policies);
    await env.rewards(episodes);
    const localTasks = (await env.localTasks?.(0, episodes)) ?? [];
    const local: ManagerEpisode<ManagerTask>[][] = [];
    for (const one of localTasks) local.push(await playAll(env, one, policies));
    await env.rewards(local.flat());
    expect(embedded.length).toBeGreaterThan(10);
    expect(new Set(embedded).size).toBe(embedded.length);
  });
});

describe("a price for large banks", () => {
  const compression = {
    weight: 0.5,
    freeShare: 0.7,
    countTokens: (text: string) => text.split(" ").length,
  };

  it("is taken off the reward, and makes leaving what is known worth more than adding it again", async () => {
    const env = environment({ tasksPerStep: 6, compression });
    // The task whose fact says again that Ana lives in Lisbon, after five facts of 4, 6, 4, 4 and 5 words.
    const task = await taskFrom(env, "D2:3");
    const rewards = await env.rewards(await playAll(env, task, [leave, keep]));
    expect(rewards[0]?.metrics).toMatchObject({
      "compression/bankTokens": 23,
      "compression/readTokens": 27,
    });
    const [left = 0, added = 0] = rewards.map(({ reward }) => reward);
    expect(left).toBeCloseTo(1 - (0.5 * (23 - 0.7 * 27)) / 27, 12);
    expect(added).toBeCloseTo(1 - (0.5 * (27 - 0.7 * 27)) / 27, 12);
    expect(left).toBeGreaterThan(added);
  });

  it("is not taken in the free zone, nor of an empty bank", async () => {
    const env = environment({ sessions: 1, compression });
    const task = await taskFrom(env, "D1:1");
    const rewards = await env.rewards(
      await playAll(env, task, [leave, inTurn("ADD: Ana lives in Lisbon")]),
    );
    expect(rewards.map(({ reward }) => reward)).toEqual([0, 0.25]);
    expect(rewards.map(({ metrics }) => metrics["compression/penalty"])).toEqual([0, 0]);
  });
});

describe("the evidence of an episode's questions", () => {
  it("is counted where it is gone from the bank, and where it is there but was not shown", async () => {
    const createHeldTurns: ManagerEnvironmentOptions["createHeldTurns"] = (facts) => (texts) => {
      const known = new Set(texts);
      return new Set(facts.flatMap((one) => (known.has(one.text) ? one.sourceTurnIds : [])));
    };
    const countsOf = async (count: number, policy: Policy) => {
      const env = environment({ sessions: 1, createHeldTurns }, { count });
      const task = await taskFrom(env, "D1:1");
      const [reward] = await env.rewards(await playAll(env, task, [policy]));
      return ["cited", "missing", "unshown"].map((name) => reward?.metrics[`evidence/${name}`]);
    };
    // City, parrot and instrument cite a turn each, pet cites two.
    expect(await countsOf(8, keep)).toEqual([5, 0, 0]);
    expect(await countsOf(8, leave)).toEqual([5, 5, 0]);
    expect(await countsOf(8, inTurn("ADD: Ana lives in Lisbon"))).toEqual([5, 4, 0]);
    // One memory a question: at least one of the pet's two turns is not in it.
    const [cited, missing, unshown] = await countsOf(1, keep);
    expect([cited, missing]).toEqual([5, 0]);
    expect(unshown).toBeGreaterThanOrEqual(1);
  });
});

describe("several conversations to train on", () => {
  // The same turn ids and other facts: what is asked of one must never be asked of the other.
  const twin: Conversation = {
    ...conversation,
    id: "twin",
    sessions: conversation.sessions.slice(0, 1),
  };
  const twinQuestions = [questions.city, questions.pet].map((question) => ({
    ...question,
    id: `twin/${question.id}`,
    conversationId: twin.id,
  }));
  const options = {
    conversations: [conversation, twin],
    questions: [...allQuestions, ...twinQuestions],
  };

  it("all have tasks, with questions of their own", async () => {
    // Six facts of the first are asked about, three of the second.
    const env = environment({ ...options, tasksPerStep: 9 });
    const tasks = await env.tasks(0);
    const ofTwin = tasks.filter(({ conversationId }) => conversationId === twin.id);
    expect([tasks.length, ofTwin.length]).toEqual([9, 3]);
    for (const task of tasks)
      for (const question of [...task.newFactQuestions, ...task.shownQuestions])
        expect(question.conversationId).toBe(task.conversationId);
    expect(new Set(tasks.map(({ id }) => id)).size).toBe(9);
  });

  it("have sessions and re-rollouts of their own, too", async () => {
    const env = environment({
      ...options,
      sessions: 1,
      tasksPerStep: 3,
      local: { share: 1, samples: 2 },
    });
    const tasks = await env.tasks(0);
    expect(tasks.map(({ id }) => id).toSorted()).toEqual([
      "ana-and-ben/session-0+1",
      "ana-and-ben/session-1+1",
      "twin/session-0+1",
    ]);
    const episodes = await Promise.all(tasks.map((task) => play(env, task, keep)));
    const local = (await env.localTasks?.(0, episodes)) ?? [];
    expect(local).toHaveLength(3);
    const ofTwin = local.find(({ conversationId }) => conversationId === twin.id);
    expect(idsOf(ofTwin?.newFactQuestions ?? [])).toEqual(idsOf(twinQuestions));
  });
});
