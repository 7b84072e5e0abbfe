import {
  createAnswerAgent,
  createBm25Retriever,
  createMemoryManager,
  createMetricGrader,
  datedFacts,
} from "@memory-r1/core";
import { loadLocomoMini, type SplitPart } from "@memory-r1/datasets";
import type { GenerateRequest, TextGenerator } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createCountingProgress } from "./__fixtures__/counting-progress.ts";
import { createScriptedGenerator, lastMessage } from "./__fixtures__/scripted-generator.ts";
import { playValidation, type PlayValidationOptions } from "./play-validation.ts";

const dataset = await loadLocomoMini();
const retriever = createBm25Retriever();
const conversations = dataset.conversations.slice(0, 2);
const part: SplitPart = {
  conversations,
  questions: dataset.questions.filter(
    ({ conversationId, category, gold }) =>
      conversations.some(({ id }) => id === conversationId) &&
      category.isAdversarial !== true &&
      gold !== undefined,
  ),
  adversarialQuestions: [],
};
const factCounts = conversations.map((conversation) => datedFacts(conversation).length);
const factsInAll = factCounts.reduce((sum, count) => sum + count, 0);

const factOf = (request: GenerateRequest) => /New fact: (.*)/.exec(lastMessage(request))?.[1] ?? "";
const keeping = () => createScriptedGenerator((request) => `ADD: ${factOf(request)}`);

/** Replies "yes" whatever it is asked; right is what the grader says is. */
const reader: TextGenerator = createScriptedGenerator(() => "yes");

const play = (changes: Partial<PlayValidationOptions> = {}) =>
  playValidation({
    part,
    manager: createMemoryManager({
      format: "compact",
      constrained: true,
      shownCount: 2,
      retriever,
    }),
    generator: keeping(),
    maxTokens: 20,
    reader: {
      generator: reader,
      agent: createAnswerAgent({ variant: "short" }),
      retriever,
      count: 4,
    },
    // Right about the first conversation, wrong about the second.
    grade: createMetricGrader((_, { conversationId }) =>
      conversationId === conversations[0]?.id ? 1 : 0,
    ),
    facts: "all",
    temperature: 0,
    seeds: 1,
    seed: 3,
    startProgress: () => createCountingProgress(),
    signal: new AbortController().signal,
    ...changes,
  });

describe("playValidation", () => {
  it("plays all conversations, and asks every question about them", async () => {
    const played = await play();
    const right = part.questions.filter(
      ({ conversationId }) => conversationId === conversations[0]?.id,
    );
    expect(right.length).toBeLessThan(part.questions.length);
    expect(played).toMatchObject({
      missing: 0,
      emptyBanks: 0,
      metrics: {
        facts: factsInAll,
        bankSize: factsInAll,
        "operations/ADD": factsInAll,
        answersGraded: part.questions.length,
        answersUnparsable: 0,
        answersFailed: 0,
        evidenceMissing: 0,
      },
    });
    expect(played.answerScore).toBeCloseTo(right.length / part.questions.length, 12);
    expect(played.metrics).not.toHaveProperty("evidenceMissingDeviation");
  });

  it("plays the first facts of each, and asks about what they say alone", async () => {
    const { metrics } = await play({ facts: 6 });
    expect(metrics["facts"]).toBe(12);
    expect(metrics["answersGraded"]).toBeLessThan(part.questions.length);
    expect(metrics["answersGraded"]).toBeGreaterThan(0);
    const none = await play({ facts: 6, part: { ...part, questions: [] } });
    expect([none.answerScore, none.missing]).toEqual([undefined, undefined]);
    expect(none.metrics).not.toHaveProperty("evidenceMissing");
  });

  it("plays every seed beside the others, at the temperature, and gives mean and deviation", async () => {
    const batches: (readonly GenerateRequest[])[] = [];
    // The first seed's lanes come first: these keep everything, the second seed's nothing.
    const generator: TextGenerator = {
      description: "two minds",
      generate: (requests) => {
        batches.push(requests);
        return Promise.resolve(
          requests.map((request, lane) => ({
            status: "completed",
            completions: [
              {
                text: lane < requests.length / 2 ? `ADD: ${factOf(request)}` : "NOOP",
                stopReason: "stop",
              },
            ],
          })),
        );
      },
    };
    const played = await play({ generator, temperature: 1, seeds: 2 });
    expect(batches[0]).toHaveLength(4);
    expect(new Set(batches[0]?.map(({ seed }) => seed)).size).toBe(4);
    for (const { temperature } of batches.flat()) expect(temperature).toBe(1);
    expect(played.emptyBanks).toBe(2);
    expect(played.missing).toBe(0.5);
    expect(played.metrics).toMatchObject({
      facts: factsInAll,
      bankSize: factsInAll / 2,
      "operations/ADD": factsInAll / 2,
      "operations/NOOP": factsInAll / 2,
      answersGraded: part.questions.length,
      evidenceMissing: 0.5,
      // Of 0 and 1.
      evidenceMissingDeviation: Math.SQRT1_2,
      answerScoreDeviation: 0,
    });
  });

  it("refuses a part without conversations", async () => {
    const empty = { conversations: [], questions: [], adversarialQuestions: [] };
    await expect(play({ part: empty })).rejects.toThrow(/holds no conversation/);
  });
});
