import { writeFile } from "node:fs/promises";
import {
  createAnswerAgent,
  createBm25Retriever,
  createManagerEnvironment,
  createMetricGrader,
  createMemoryManager,
} from "@memory-r1/core";
import { splitDataset } from "@memory-r1/datasets";
import type { ChatTokenizer } from "@memory-r1/engine";
import { scoreAnswer } from "@memory-r1/metrics";
import { ConfigError, DataFormatError, type Dataset } from "@memory-r1/spec";
import { beforeEach, describe, expect, it } from "vitest";
import { type Override, resolveExperiment } from "../experiment.ts";
import { createExtractiveReader } from "./__fixtures__/extractive-reader.ts";
import { createSilentContext } from "./__fixtures__/silent-context.ts";
import { useTemporaryFolder } from "./__fixtures__/temporary-folder.ts";
import { tinyExperiment } from "./__fixtures__/tiny-experiment.ts";
import { unreachableEngine } from "./__fixtures__/unreachable-engine.ts";
import { evaluateArms } from "./evaluate-arms.ts";
import { loadDataset, splitFor } from "./load-dataset.ts";
import type { RunServices } from "./run-services.ts";

const pathOf = useTemporaryFolder();

/** Written as a user would who has turns and questions and nothing else. */
const conversation = (id: string, split: string | undefined, friend: string) => ({
  id,
  ...(split === undefined ? {} : { split }),
  sessions: [
    {
      date: "2024-05-01T18:30",
      turns: [
        { speaker: "Ann", text: `My dog ${friend} is three years old.` },
        { speaker: "Bo", text: "Nice! I play the cello.", imageCaption: "a brown cello" },
      ],
    },
    {
      date: "in summer",
      turns: [{ speaker: "Ann", text: `${friend} has learnt to swim in Lake Thun.` }],
    },
  ],
});
const questionsAbout = (conversationId: string, friend: string) => [
  {
    conversationId,
    text: "What is the name of Ann's dog?",
    answer: friend,
    evidenceTurnIds: ["D1:1"],
  },
  { conversationId, text: "What does Bo play?", answer: "cello", evidenceTurnIds: ["D1:2"] },
  {
    conversationId,
    text: `Where has ${friend} learnt to swim?`,
    answer: "Lake Thun",
    evidenceTurnIds: ["D2:1"],
  },
];

async function write(splits: readonly (string | undefined)[]): Promise<void> {
  const friends = ["Rex", "Kira", "Odin"];
  const ids = ["one", "two", "three"];
  const lines = (values: readonly unknown[]): string =>
    values.map((value) => `${JSON.stringify(value)}\n`).join("");
  const conversations = ids.map((id, index) =>
    conversation(id, splits[index], friends[index] ?? ""),
  );
  const questions = ids.flatMap((id, index) => questionsAbout(id, friends[index] ?? ""));
  await writeFile(pathOf("conversations.jsonl"), lines(conversations));
  await writeFile(pathOf("questions.jsonl"), lines(questions));
}

const experimentOf = (...overrides: readonly Override[]) =>
  resolveExperiment(tinyExperiment, [["dataset", "jsonl"], ...overrides]);
const contextOf = () => ({ ...createSilentContext(pathOf(".")), dataDirectory: pathOf(".") });
const load = (): Promise<Dataset> => loadDataset(experimentOf(), contextOf());

const retriever = createBm25Retriever();
const answerAgent = createAnswerAgent({ variant: "short" });
const manager = createMemoryManager({
  format: "compact",
  constrained: false,
  shownCount: 2,
  retriever,
});
const reader = createExtractiveReader();
const grader: RunServices["grader"] = (reward) =>
  createMetricGrader((prediction, question) => {
    const metric = reward === "squad-em" ? "squad-em" : "squad-f1";
    const outcome = scoreAnswer(metric, prediction, question);
    return outcome.status === "graded" ? outcome.score : undefined;
  });

const unused = (): never => {
  throw new Error("scripted agents need no tokens");
};
const unusedTokenizer: ChatTokenizer = {
  encode: unused,
  encodeChat: unused,
  renderChat: unused,
  decode: unused,
  eosTokenIds: [],
};

beforeEach(() => write(["train", "validation", "test"]));

describe("the user's own data", () => {
  it("has its turns as facts where it has no facts, with speaker, caption and date", async () => {
    const { conversations } = await load();
    expect(conversations[0]?.sessions.map(({ facts }) => facts)).toEqual([
      [
        {
          id: "D1:1",
          text: "Ann: My dog Rex is three years old.",
          participant: "Ann",
          sourceTurnIds: ["D1:1"],
        },
        {
          id: "D1:2",
          text: "Bo: Nice! I play the cello. [shares a picture: a brown cello]",
          participant: "Bo",
          sourceTurnIds: ["D1:2"],
        },
      ],
      [
        {
          id: "D2:1",
          text: "Ann: Rex has learnt to swim in Lake Thun.",
          participant: "Ann",
          sourceTurnIds: ["D2:1"],
        },
      ],
    ]);
  });

  it("gives the Manager decisions to train on, with questions that pay for keeping a turn", async () => {
    const { train } = splitFor(experimentOf(), await load());
    const [trained] = train.conversations;
    if (trained === undefined) throw new Error("there is a conversation to train on");
    const environment = createManagerEnvironment({
      conversations: [trained],
      questions: train.questions,
      tasksPerStep: 3,
      seed: 1,
      factsPerEpisode: 1,
      emptyBankShare: 0.5,
      bankSizes: [1, 2],
      manager,
      reader: { generator: reader, agent: answerAgent, retriever, count: 2 },
      grade: grader("squad-f1"),
      newFactWeight: 0.5,
      maxNewFactQuestions: 2,
      maxShownQuestions: 2,
      invalidPenalty: 0.1,
    });
    const rewardOf = async (reply: (fact: string) => string): Promise<number> => {
      const episodes = await Promise.all(
        (await environment.tasks(0)).map(async (task) => {
          const episode = environment.start(task);
          await episode.nextPrompt();
          await episode.act({ text: reply(task.facts[0]?.fact.text ?? ""), stopReason: "stop" });
          return episode;
        }),
      );
      const rewards = await environment.rewards(episodes);
      expect(rewards).toHaveLength(3);
      return rewards.reduce((sum, { reward }) => sum + (reward ?? Number.NaN), 0) / 3;
    };
    const kept = await rewardOf((fact) => `ADD: ${fact}`);
    expect(kept).toBeGreaterThan((await rewardOf(() => "NOOP")) + 0.1);
  });

  it("is answered by every arm: turns by RAG, the bank of everything, and the gold evidence", async () => {
    const dataset = await load();
    const experiment = experimentOf(
      ["evaluation.testSample", "3"],
      ["evaluation.arms.1.memory", '{"kind":"bank","manager":"add-everything"}'],
      ["evaluation.validation", "true"],
    );
    const services: RunServices = {
      experiment,
      context: contextOf(),
      runDirectory: pathOf("run"),
      dataset,
      splits: splitFor(experiment, dataset),
      engine: unreachableEngine(unusedTokenizer, pathOf("checkpoints")),
      retriever,
      embedding: {
        description: "unused",
        embed: () => Promise.reject(new Error("nothing here embeds")),
      },
      answerAgent,
      manager,
      unconstrainedManager: manager,
      base: reader,
      trained: () => Promise.resolve(reader),
      grader,
      fingerprint: "",
    };
    const { predictions, questions } = await evaluateArms(services, {
      manager: undefined,
      answer: undefined,
    });
    expect(questions.validation.map(({ id }) => id)).toEqual(["two/qa-1", "two/qa-2", "two/qa-3"]);
    expect(questions.test.map(({ id }) => id)).toEqual(["three/qa-1", "three/qa-2", "three/qa-3"]);
    for (const arm of ["rag", "memory-r1", "oracle"]) {
      const answers = (predictions.get(arm) ?? []).map(({ outcome }) =>
        outcome.status === "answered" ? outcome.answer : outcome.status,
      );
      expect(answers, arm).toHaveLength(6);
      expect(answers[1], arm).toContain("cello");
      expect(answers[2], arm).toContain("Lake Thun");
    }
  });
});

describe("a data set without a split", () => {
  beforeEach(() => write([]));

  it("is tested on as a whole where nothing is trained", async () => {
    const dataset = await load();
    const { training: _, ...untrained } = experimentOf();
    const splits = splitFor({ ...untrained, training: [] }, dataset);
    expect(splits.test.questions).toHaveLength(9);
    expect(splits.train.conversations).toEqual([]);
  });

  it("is refused where something is trained, or a split is named", async () => {
    const dataset = await load();
    expect(() => splitFor(experimentOf(), dataset)).toThrow(ConfigError);
    expect(() => splitFor(experimentOf(), dataset)).toThrow("without training stages");
    const named = { ...experimentOf(["split", "own"]), training: [] };
    expect(() => splitFor(named, dataset)).toThrow("has no split");
  });
});

it("leaves conversations with facts as they are", async () => {
  const dataset = await loadDataset(resolveExperiment(tinyExperiment), contextOf());
  expect(dataset.name).toBe("locomo-mini");
  const { train } = splitDataset(dataset);
  expect(train.conversations[0]?.sessions[0]?.facts[0]?.id).toMatch(/^mini-1\/session_1\//);
});

it("says where a file of the user's is wrong, and how much more is", async () => {
  await writeFile(pathOf("questions.jsonl"), '{"text":""}\n{"conversationId":"one"}\n');
  await expect(load()).rejects.toThrow(DataFormatError);
  await expect(load()).rejects.toThrow(/questions\.jsonl, line 1, at \S+: .*2 more faults/);
});
