import type { GenerateRequest, GenerateResult, TextGenerator } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createAnswerAgent } from "../answer/answer-agent.ts";
import { createBm25Retriever } from "../retrieval/bm25-retriever.ts";
import { conversation, questions } from "./__fixtures__/ana-and-ben.ts";
import { answerAll, type AnswerRequest, selectMemories } from "./answering.ts";
import { bankOfFacts, datedFacts } from "./manager-episode.ts";

const agent = createAnswerAgent({ variant: "short" });

function requestOf(text: string, memory: string): AnswerRequest {
  return { question: { id: text, text }, memories: [{ text: memory, date: "1 May 2024" }] };
}

/** Replies in turn, and keeps what it was asked. */
function scripted(...results: readonly GenerateResult[]): TextGenerator & {
  readonly requests: GenerateRequest[];
} {
  const requests: GenerateRequest[] = [];
  return {
    description: "scripted",
    requests,
    generate: (asked) => {
      requests.push(...asked);
      return Promise.resolve(results);
    },
  };
}

const reply = (text: string): GenerateResult => ({
  status: "completed",
  completions: [{ text, stopReason: "stop" }],
});

describe("selectMemories", () => {
  const bank = bankOfFacts(datedFacts(conversation), "test");
  const retriever = createBm25Retriever();

  it("shows the best memories in the order of the bank, each with date and participant", async () => {
    const question = questions.pet.text;
    expect(await selectMemories({ bank, question, retriever, count: 2 })).toEqual([
      { text: "Ben has a parrot named Kiwi", date: "1 May 2024", participant: "Ben" },
      { text: "Ana plays the harp", date: "1 May 2024", participant: "Ana" },
    ]);
  });

  it("keeps both of two memories with the same text", async () => {
    const question = "Lisbon";
    const shown = await selectMemories({ bank, question, retriever, count: 2 });
    expect(shown.map(({ date }) => date)).toEqual(["1 May 2024", "2 June 2024"]);
  });

  it("shows nothing of nothing", async () => {
    const empty = bankOfFacts([], "test");
    expect(await selectMemories({ bank: empty, question: "?", retriever, count: 3 })).toEqual([]);
  });
});

describe("answerAll", () => {
  it("asks equal prompts once, greedily, and answers in the order of the requests", async () => {
    const generator = scripted(reply("one"), reply("two"));
    const requests = [requestOf("a", "x"), requestOf("b", "x"), requestOf("a", "x")];
    const answers = await answerAll({ generator, agent, requests });
    expect(answers).toEqual([
      { status: "answered", answer: "one", raw: "one" },
      { status: "answered", answer: "two", raw: "two" },
      { status: "answered", answer: "one", raw: "one" },
    ]);
    expect(
      generator.requests.map(({ temperature, maxTokens }) => [temperature, maxTokens]),
    ).toEqual([
      [0, agent.maxTokens],
      [0, agent.maxTokens],
    ]);
  });

  it("tells an unparsable reply from a failed call, and both from a missing result", async () => {
    const generator = scripted(
      reply(" \n"),
      { status: "failed", reason: "HTTP 503" },
      { status: "completed", completions: [] },
    );
    const requests = ["a", "b", "c", "d"].map((text) => requestOf(text, "x"));
    const answers = await answerAll({ generator, agent, requests });
    expect(answers).toMatchObject([
      { status: "unparsable", raw: " \n" },
      { status: "failed", reason: "HTTP 503" },
      { status: "failed", reason: "the generator gave no completion" },
      { status: "failed", reason: "the generator gave no result" },
    ]);
  });

  it("never takes the prompt's marker for the reply's", async () => {
    const distill = createAnswerAgent({ variant: "distill" });
    const request = requestOf("What is the **Answer:** Lisbon?", "**Answer:** Lisbon");
    const prompt = distill.prompt(request).map(({ content }) => content);
    expect(prompt.join("\n")).toContain("**Answer:** Lisbon");
    const [answer] = await answerAll({
      generator: scripted(reply("- 1: Lisbon")),
      agent: distill,
      requests: [request],
    });
    expect(answer?.status).toBe("unparsable");
  });

  it("asks nothing about nothing", async () => {
    const generator = scripted();
    expect(await answerAll({ generator, agent, requests: [] })).toEqual([]);
    expect(generator.requests).toEqual([]);
  });
});
