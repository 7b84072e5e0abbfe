import { createMemoryBank } from "@memory-r1/core";
import type { ContextItem, Conversation, Question } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { type Experiment, resolveExperiment } from "../../experiment.ts";
import type { Prediction } from "../answer-questions.ts";
import type { Evaluation } from "../evaluate-arms.ts";
import { evidenceTable } from "./evidence-table.ts";
import { fairnessTable } from "./fairness-table.ts";
import { latencyTable, percentile } from "./latency-table.ts";
import { operationsTable } from "./operations-table.ts";
import type { PlayedConversation, PlayedMemory, PlayedQuestion } from "./play-systems.ts";

const conversation: Conversation = {
  id: "c1",
  participants: ["Ana", "Ben"],
  sessions: [
    {
      id: "S1",
      dateText: "1 May 2024",
      turns: [
        { id: "D1:1", speaker: "Ana", text: "I drive a little red car" },
        { id: "D1:2", speaker: "Ben", text: "My two old dogs love walks" },
        { id: "D1:3", speaker: "Ben", text: "?!" },
      ],
      facts: [
        { id: "f1", text: "Ana drives a red car", participant: "Ana", sourceTurnIds: ["D1:1"] },
      ],
    },
    {
      id: "S2",
      dateText: "1 June 2024",
      turns: [
        { id: "D2:1", speaker: "Ana", text: "Sold it, I ride a bicycle now" },
        { id: "D2:2", speaker: "Ben", text: "Our garden grows huge pumpkins" },
      ],
      facts: [],
    },
  ],
};

function questionOf(id: string, evidence: readonly string[], isUpdate = false): Question {
  return {
    id,
    conversationId: "c1",
    text: `${id}?`,
    gold: "x",
    category: { code: "1", names: {}, ...(isUpdate ? { isUpdate } : {}) },
    evidenceTurnIds: evidence,
    answerable: true,
  };
}
const questions = [
  questionOf("q1", ["D1:1", "D2:1"], true),
  questionOf("q2", ["D1:2"]),
  questionOf("q3", ["D2:2"]),
  questionOf("q4", ["D1:3"]),
];

const item = (text: string, ...sourceTurnIds: string[]): ContextItem => ({
  text,
  date: "1 May 2024",
  sourceTurnIds,
});
const car = item("Ana drives a red car", "D1:1");
const bicycle = item("Ana: Sold it, I ride a bicycle now", "D2:1");
const dogs = item("Ben: My two old dogs love walks", "D1:2");

function experimentOf(
  ...memories: Experiment["evaluation"]["arms"][number]["memory"][]
): Experiment {
  return resolveExperiment({
    name: "small",
    description: "",
    dataset: "locomo-mini",
    model: { name: "none" },
    answer: { memories: 2 },
    training: [
      { name: "m", agent: "manager", steps: 1, tasksPerStep: 1, learningRate: 1 },
      { name: "a", agent: "answer", steps: 1, tasksPerStep: 1, learningRate: 1 },
    ],
    evaluation: {
      metrics: ["squad-f1"],
      mainMetric: "squad-f1",
      arms: memories.map((memory, index) => ({
        name: `arm-${index}`,
        system: `system ${index}`,
        variant: "v",
        memory,
        answer: "untrained",
      })),
    },
  });
}

const usage = { calls: 4, promptTokens: 400, completionTokens: 40 };
function memoryOf(changes: Partial<PlayedMemory>): PlayedMemory {
  return {
    turns: 5,
    stored: [],
    everStored: new Set(),
    counts: { operations: {}, unparsable: 0, rejected: 0 },
    usage,
    read: new Set(["turn.text"]),
    embeddedTexts: 3,
    embeddedWhileTold: 2,
    ...changes,
  };
}

function evaluationOf(
  played: PlayedConversation,
  predictions: readonly Prediction[] = [],
): Evaluation {
  return {
    questions: { validation: [], test: questions, adversarial: [] },
    predictions: new Map([["arm-0", predictions]]),
    banks: new Map(),
    systems: new Map([["mem", new Map([["c1", played]])]]),
    conversations: [conversation],
    timings: [],
  };
}

const answered = (questionId: string, ...shown: readonly ContextItem[]): Prediction => ({
  questionId,
  memories: shown.map(({ text, date }) => ({ text, date })),
  outcome: { status: "answered", answer: "x", raw: "x y" },
});
const baseline = { kind: "baseline", baseline: "mem" } as const;

describe("what became of the evidence", () => {
  it("is told apart by how it was lost, and a miss of the bank from one of retrieval", () => {
    const memory = memoryOf({
      // The car's memory was rewritten and still names its turn; the dogs' is gone; the pumpkins never came.
      stored: [item("nothing of the kind", "D1:1"), bicycle],
      everStored: new Set([car.text, dogs.text, "nothing of the kind", bicycle.text]),
    });
    const predictions: Prediction[] = [
      answered("q1", bicycle),
      answered("q2"),
      { questionId: "q3", memories: [], outcome: { status: "failed", reason: "503" } },
      answered("q4"),
    ];
    const { rows } = evidenceTable(
      experimentOf(baseline),
      evaluationOf({ memory, questions: new Map() }, predictions),
    );
    expect(rows).toEqual([
      {
        split: "test",
        system: "system 0",
        arm: "v",
        memory: "mem",
        // D1:1, D2:1, D1:2, D2:2. A turn of punctuation has no word to be found by.
        turns: 4,
        kept: 1 / 4,
        overwritten: 1 / 4,
        deleted: 1 / 4,
        neverStored: 1 / 4,
        claimed: 2 / 4,
        superseded: 1,
        // The memory that names D1:1 does not say it any more.
        stale: 0,
        // q1 and q2: nobody knows what q3's prompt would have shown, and q4's evidence cannot be found.
        questions: 2,
        shown: 0,
        retrievalMisses: 0,
        bankMisses: 1,
      },
    ]);
  });

  it("is whole in a memory that keeps everything, with what is stale, and misses are retrieval's", () => {
    const memory = memoryOf({
      stored: [car, dogs, bicycle],
      everStored: new Set([car.text, dogs.text, bicycle.text]),
    });
    const predictions = [answered("q1", car, bicycle), answered("q2", car), answered("q3", dogs)];
    const { rows } = evidenceTable(
      experimentOf(baseline),
      evaluationOf({ memory, questions: new Map() }, predictions),
    );
    expect(rows).toMatchObject([
      {
        kept: 3 / 4,
        overwritten: 0,
        deleted: 0,
        neverStored: 1 / 4,
        stale: 1,
        questions: 3,
        shown: 1 / 3,
        retrievalMisses: 1 / 3,
        bankMisses: 1 / 3,
      },
    ]);
  });

  it("does not call a memory stale that was made of both tellings", () => {
    const merged = item("Ana drives a red car. Sold it, I ride a bicycle now", "D1:1", "D2:1");
    const memory = memoryOf({ stored: [merged], everStored: new Set([merged.text]) });
    const { rows } = evidenceTable(
      experimentOf(baseline),
      evaluationOf({ memory, questions: new Map() }),
    );
    expect(rows).toMatchObject([{ stale: 0, superseded: 1, kept: 2 / 4, shown: undefined }]);
  });

  it("is read from a Manager's bank by its journal", () => {
    const bank = createMemoryBank();
    const source = (turnId: string) => ({
      actor: "test",
      participant: "Ana",
      date: "1 May 2024",
      sourceTurnIds: [turnId],
    });
    bank.apply({ kind: "ADD", text: car.text }, source("D1:1"));
    bank.apply({ kind: "ADD", text: dogs.text }, source("D1:2"));
    bank.apply({ kind: "UPDATE", id: "0", text: bicycle.text }, source("D2:1"));
    bank.apply({ kind: "DELETE", id: "1" }, source("D2:2"));
    const operations = { ADD: 2, UPDATE: 1, DELETE: 1, NOOP: 0 };
    const episode = { bank, operations, unparsable: 1, rejected: 2, facts: [], usage };
    const experiment = experimentOf({ kind: "bank", manager: "trained" });
    const evaluation: Evaluation = {
      ...evaluationOf({ memory: memoryOf({}), questions: new Map() }),
      banks: new Map([["trained", new Map([["c1", episode]])]]),
    };
    expect(evidenceTable(experiment, evaluation).rows).toMatchObject([
      { memory: "memory-r1/trained", kept: 1 / 4, overwritten: 1 / 4, deleted: 1 / 4 },
    ]);
    expect(operationsTable(experiment, evaluation).rows).toEqual([
      { memory: "memory-r1/trained", kind: "applied", operation: "ADD", count: 2 },
      { memory: "memory-r1/trained", kind: "applied", operation: "UPDATE", count: 1 },
      { memory: "memory-r1/trained", kind: "applied", operation: "DELETE", count: 1 },
      { memory: "memory-r1/trained", kind: "applied", operation: "NOOP", count: 0 },
      { memory: "memory-r1/trained", kind: "unparsable", operation: "", count: 1 },
      { memory: "memory-r1/trained", kind: "rejected", operation: "", count: 2 },
    ]);
  });

  it("has no share where nothing was asked, and no row for a memory that was not made", () => {
    const nothing = { validation: [], test: [], adversarial: [] };
    const played = { memory: memoryOf({}), questions: new Map() };
    const experiment = experimentOf(baseline, { kind: "baseline", baseline: "other" });
    expect(evidenceTable(experiment, { ...evaluationOf(played), questions: nothing }).rows).toEqual(
      [],
    );
    const { rows } = evidenceTable(experiment, evaluationOf(played));
    expect(rows.map(({ memory }) => memory)).toEqual(["mem"]);
  });
});

describe("operations", () => {
  const played = (
    id: string,
    outcome: Prediction["outcome"] | undefined,
    unparsableReplies?: number,
  ): [string, PlayedQuestion] => [
    id,
    {
      searchUsage: usage,
      answerUsage: usage,
      context: undefined,
      answer: outcome === undefined ? undefined : { memories: [], outcome },
      unparsableReplies,
    },
  ];
  const memory = memoryOf({ counts: { operations: { keep: 5 }, unparsable: 3, rejected: 0 } });
  const rowsOf = (...asked: readonly [string, PlayedQuestion][]) =>
    operationsTable(
      // Two arms of one memory: it is counted once.
      experimentOf(baseline, baseline),
      evaluationOf({ memory, questions: new Map(asked) }),
    ).rows;
  const told = [
    { memory: "mem", kind: "applied", operation: "keep", count: 5 },
    { memory: "mem", kind: "unparsable", operation: "", count: 3 },
    { memory: "mem", kind: "rejected", operation: "", count: 0 },
  ];
  const answer = { status: "answered", answer: "x", raw: "x" } as const;

  it("count what could not be read at question time apart from what was told", () => {
    const rows = rowsOf(
      played("q1", answer, 1),
      played("q2", { status: "unparsable", reason: "none sent", raw: "?" }, 4),
      played("q3", { status: "failed", reason: "503" }),
      played("q4", answer, 0),
    );
    expect(rows).toEqual([
      ...told,
      { memory: "mem", kind: "unparsable when asked", operation: "", count: 1 + 4 },
      { memory: "mem", kind: "unparsable answer", operation: "", count: 1 },
    ]);
  });

  it("say 0 where all could be read, and nothing where the system gave no answer", () => {
    expect(rowsOf(played("q1", answer, 0)).slice(3)).toEqual([
      { memory: "mem", kind: "unparsable when asked", operation: "", count: 0 },
      { memory: "mem", kind: "unparsable answer", operation: "", count: 0 },
    ]);
    expect(rowsOf()).toEqual(told);
    expect(rowsOf(played("q1", undefined))).toEqual(told);
    expect(rowsOf(played("q1", { status: "failed", reason: "503" }))).toEqual(told);
  });
});

describe("the fairness sheet", () => {
  const words = (text: string): number => text.split(/\s+/u).filter(Boolean).length;
  const tokens = {
    ofText: words,
    ofReply: (
      request: { readonly messages: readonly { readonly content: string }[] },
      texts: readonly string[],
    ) => ({
      promptTokens: request.messages.reduce((total, { content }) => total + words(content), 0),
      completionTokens: texts.reduce((total, text) => total + words(text), 0),
    }),
  };
  const agent = {
    prompt: ({ memories }: { readonly memories: readonly { readonly text: string }[] }) => [
      { role: "user" as const, content: memories.map(({ text }) => text).join(" ") },
    ],
  };
  const spent = (calls: number) => ({ calls, promptTokens: 10 * calls, completionTokens: calls });
  const sheet = (evaluation: Evaluation) =>
    fairnessTable({ experiment: experimentOf(baseline), evaluation, tokens, agentOf: () => agent })
      .rows;
  const memory = memoryOf({
    stored: [car, dogs],
    counts: { operations: {}, unparsable: 1, rejected: 0 },
    read: new Set(["turn.text", "session.dateText"]),
  });

  it("counts a system's own calls, and one of the Answer Agent for each answer", () => {
    const played = {
      memory,
      questions: new Map(
        questions.map(({ id }) => [
          id,
          {
            searchUsage: spent(1),
            answerUsage: spent(0),
            context: [],
            answer: undefined,
            unparsableReplies: undefined,
          },
        ]),
      ),
    };
    const unparsable = { status: "unparsable", reason: "empty", raw: "" } as const;
    const failed = { status: "failed", reason: "503" } as const;
    const [row] = sheet(
      evaluationOf(played, [
        answered("q1", car, dogs),
        answered("q2", car),
        { ...answered("q3"), outcome: unparsable },
        { ...answered("q4"), outcome: failed },
      ]),
    );
    expect(row).toEqual({
      system: "system 0",
      arm: "v",
      turns: 5,
      memoryCalls: 4,
      memoryPromptTokens: 400,
      memoryCompletionTokens: 40,
      memoryUnparsable: 1,
      memoryUnparsableShare: 0.25,
      questions: 4,
      // Four searches, and three answers: the car's prompt has 5 words, the dogs' 7.
      questionCalls: 4 + 3,
      questionPromptTokens: 40 + (5 + 7) + 5 + 0,
      questionCompletionTokens: 4 + 2 + 2 + 0,
      unparsableAnswers: 1,
      failedAnswers: 1,
      answeredBy: "untrained Answer Agent",
      most: 2,
      retrieved: 1,
      shown: 1,
      shownMost: 2,
      // With three words of the date: 8 + 10, 8, 0.
      contextTokens: (18 + 8) / 3,
      stored: 2,
      storageBytes: Buffer.byteLength(JSON.stringify([car, dogs])),
      embeddedTexts: 3,
      facts: "no",
      captions: undefined,
      dates: "yes",
      categories: "no",
    });
  });

  it("counts no Answer Agent where the system answers by itself", () => {
    const { questionId: _, ...answer } = answered("q1", car);
    const played = {
      memory,
      questions: new Map([
        [
          "q1",
          {
            searchUsage: spent(0),
            answerUsage: spent(3),
            context: undefined,
            answer,
            unparsableReplies: 0,
          },
        ],
      ]),
    };
    const [row] = sheet(evaluationOf(played, [answered("q1", car)]));
    expect(row).toMatchObject({
      questionCalls: 3,
      questionPromptTokens: 30,
      answeredBy: "the system",
      retrieved: undefined,
      shown: 1,
    });
  });

  it("counts the reranker's calls and texts, and nothing that a system did to search or answer", () => {
    const { questionId: _, ...answer } = answered("q1", car);
    const usages = { searchUsage: spent(1), answerUsage: spent(3) };
    const own = { ...usages, context: [], answer, unparsableReplies: 0 };
    const played = { memory, questions: new Map(questions.map(({ id }) => [id, own])) };
    const plain = experimentOf(baseline);
    const sheetOf = (rerank: { readonly candidates: number; readonly keep?: number }) =>
      fairnessTable({
        experiment: resolveExperiment({
          ...plain,
          evaluation: {
            ...plain.evaluation,
            arms: plain.evaluation.arms.map((one) => ({ ...one, rerank })),
          },
        }),
        evaluation: evaluationOf(played, [answered("q1", car), answered("q2"), answered("q3")]),
        tokens,
        agentOf: () => agent,
      });
    const { rows, notes } = sheetOf({ candidates: 60, keep: 1 });
    // Three questions were asked; two memories are stored. The reader's prompt of the first has the car's 5 words.
    expect(rows).toMatchObject([
      {
        rerankCalls: 3,
        rerankedTexts: 6,
        questionCalls: 3,
        questionPromptTokens: 5,
        answeredBy: "untrained Answer Agent",
        most: 1,
        embeddedTexts: 2,
      },
    ]);
    expect(notes?.join("\n")).toContain("ordered by cross-encoder/ms-marco-MiniLM-L6-v2");
    expect(sheetOf({ candidates: 1, keep: 1 }).rows).toMatchObject([
      { rerankCalls: 3, rerankedTexts: 3 },
    ]);
  });

  it("has no share of no calls", () => {
    const idle = { ...memory, usage: { calls: 0, promptTokens: 0, completionTokens: 0 } };
    const [row] = sheet(evaluationOf({ memory: idle, questions: new Map() }));
    expect(row).toMatchObject({ memoryUnparsableShare: undefined, shown: undefined });
  });
});

describe("latencies", () => {
  it("are a reranked arm's own but for what the memory took to be told", () => {
    const plain = experimentOf(baseline);
    const experiment = resolveExperiment({
      ...plain,
      evaluation: {
        ...plain.evaluation,
        arms: plain.evaluation.arms.map((one) => ({ ...one, rerank: {} })),
      },
    });
    const { rows } = latencyTable(experiment, [
      { name: "mem", step: "ingest", milliseconds: 30 },
      { name: "mem", step: "search", milliseconds: 9 },
      { name: "arm-0", step: "search", milliseconds: 4 },
    ]);
    expect(rows).toMatchObject([{ ingestP50: 30, searchCount: 1, searchP50: 4 }]);
  });

  it("are percentiles by nearest rank", () => {
    const values = Array.from({ length: 20 }, (_, index) => index + 1);
    expect([percentile(values, 0.5), percentile(values, 0.95)]).toEqual([10, 19]);
    expect(percentile([7], 0.95)).toBe(7);
    expect(percentile([], 0.5)).toBeUndefined();
  });

  it("are the memory's for turns, and the arm's for answers", () => {
    const timed = (name: string, step: "ingest" | "search" | "answer", milliseconds: number) => ({
      name,
      step,
      milliseconds,
    });
    const { rows } = latencyTable(experimentOf(baseline), [
      timed("mem", "ingest", 30),
      timed("mem", "ingest", 10),
      timed("arm-0", "answer", 5),
      timed("elsewhere", "search", 1),
    ]);
    expect(rows).toEqual([
      {
        system: "system 0",
        arm: "v",
        ingestCount: 2,
        ingestP50: 10,
        ingestP95: 30,
        searchCount: 0,
        searchP50: undefined,
        searchP95: undefined,
        answerCount: 1,
        answerP50: 5,
        answerP95: 5,
      },
    ]);
  });
});
