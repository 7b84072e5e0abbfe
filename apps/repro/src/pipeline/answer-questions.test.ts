import { readFile, truncate, writeFile } from "node:fs/promises";
import { createAnswerAgent } from "@memory-r1/core";
import { loadLocomoMini } from "@memory-r1/datasets";
import type { GenerateRequest, Question } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createCountingProgress } from "./__fixtures__/counting-progress.ts";
import {
  createScriptedGenerator,
  lastMessage,
  type ScriptedGenerator,
} from "./__fixtures__/scripted-generator.ts";
import { useTemporaryFolder } from "./__fixtures__/temporary-folder.ts";
import { answerQuestions, createAnswerMemo } from "./answer-questions.ts";
import type { ContextSource } from "./contexts.ts";

const { questions } = await loadLocomoMini();
const pathOf = useTemporaryFolder();
const agent = createAnswerAgent({ variant: "short" });
const file = () => pathOf("predictions", "arm.jsonl");

const context: ContextSource = (question) =>
  Promise.resolve([
    { text: `half of ${question.id} ½`, date: "1 May 2024", participant: "Nora" },
    { text: "a memory of nobody", date: "1 May 2024" },
  ]);

/** Questions with "dog" get no answer, those with "cat" fail. */
function reply(request: GenerateRequest): string | undefined {
  const question = lastMessage(request).split("Question: ")[1] ?? "";
  if (question.includes("cat")) return undefined;
  return question.includes("dog") ? " \n" : `because ${question.length}`;
}

async function answer(
  generator: ScriptedGenerator,
  asked: readonly Question[] = questions,
  signal = new AbortController().signal,
  memo = createAnswerMemo(agent),
) {
  const progress = createCountingProgress();
  const predictions = await answerQuestions({
    questions: asked,
    context,
    generator,
    agent,
    memo,
    file: file(),
    progress,
    signal,
  });
  return { predictions, progress };
}

it("asks nobody about a question whose context failed, and leaves it ungraded", async () => {
  const generator = createScriptedGenerator(reply);
  const [first, second] = questions;
  const predictions = await answerQuestions({
    questions: questions.slice(0, 2),
    context: (question) =>
      question.id === first?.id ? Promise.reject(new Error("never asked")) : context(question),
    generator,
    agent,
    memo: createAnswerMemo(agent),
    withoutContext: new Map([[first?.id ?? "", "mem0: HTTP 503"]]),
    file: file(),
    progress: createCountingProgress(),
    signal: new AbortController().signal,
  });
  expect(generator.batches.map((batch) => batch.length)).toEqual([1]);
  expect(predictions).toMatchObject([
    {
      questionId: first?.id,
      memories: [],
      outcome: { status: "failed", reason: "mem0: HTTP 503" },
    },
    { questionId: second?.id },
  ]);
  expect(predictions[1]?.outcome.status).not.toBe("failed");
});

describe("answerQuestions", () => {
  it("asks in batches of 48, and keeps what was shown and what came back", async () => {
    const generator = createScriptedGenerator(reply);
    const { predictions, progress } = await answer(generator);
    expect(questions).toHaveLength(75);
    expect(generator.batches.map((batch) => batch.length)).toEqual([48, 27]);
    expect(progress.count()).toBe(75);
    expect(predictions.map(({ questionId }) => questionId)).toEqual(questions.map(({ id }) => id));
    expect(predictions[0]).toEqual({
      questionId: "mini-1/qa-0",
      memories: [
        { text: "half of mini-1/qa-0 ½", date: "1 May 2024", participant: "Nora" },
        { text: "a memory of nobody", date: "1 May 2024" },
      ],
      outcome: { status: "unparsable", reason: "the reply holds no answer", raw: " \n" },
    });
    const statusOf = (text: string) =>
      predictions[questions.findIndex((question) => question.text.includes(text))]?.outcome;
    expect(statusOf("plants does")).toMatchObject({ status: "answered", answer: "because 31" });
    expect(statusOf("cat")).toEqual({ status: "failed", reason: "HTTP 503" });
  });

  it("reads a finished file, and asks nothing", async () => {
    const whole = await answer(createScriptedGenerator(reply));
    const text = await readFile(file(), "utf8");
    const silent = createScriptedGenerator(reply, { breakAfter: 0 });
    const again = await answer(silent);
    expect(again.predictions).toEqual(whole.predictions);
    expect([silent.batches.length, again.progress.count()]).toEqual([0, 75]);
    expect(await readFile(file(), "utf8")).toBe(text);
  });

  it.each([0, 1])("goes on to the same bytes after %i batches and a kill", async (batches) => {
    await answer(createScriptedGenerator(reply));
    const text = await readFile(file(), "utf8");
    await writeFile(file(), "");
    const killed = createScriptedGenerator(reply, { breakAfter: batches });
    await expect(answer(killed)).rejects.toThrow("killed");
    const resumed = createScriptedGenerator(reply);
    const { progress } = await answer(resumed);
    expect(resumed.batches).toHaveLength(2 - batches);
    expect(progress.count()).toBe(75);
    expect(await readFile(file(), "utf8")).toBe(text);
  });

  it("goes on to the same bytes from a file that was cut off anywhere", async () => {
    const whole = await answer(createScriptedGenerator(reply));
    const bytes = await readFile(file());
    const isLineEnd = (length: number) => bytes[length - 1] === 10;
    for (let length = 0; length < bytes.length; length++) {
      if (![length - 1, length, length + 1].some(isLineEnd) && length % 997 !== 0) continue;
      await writeFile(file(), bytes);
      await truncate(file(), length);
      const { predictions } = await answer(createScriptedGenerator(reply));
      expect(Buffer.compare(await readFile(file()), bytes), `cut at ${length}`).toBe(0);
      expect(predictions).toEqual(whole.predictions);
    }
  });

  it("stops between batches when it is told to", async () => {
    const controller = new AbortController();
    const generator = createScriptedGenerator((request) => {
      controller.abort(new Error("Ctrl-C"));
      return reply(request);
    });
    await expect(answer(generator, questions, controller.signal)).rejects.toThrow("Ctrl-C");
    expect((await readFile(file(), "utf8")).split("\n")).toHaveLength(48 + 1);
  });

  it("asks nothing that the memo holds, but what failed it asks again", async () => {
    const memo = createAnswerMemo(agent);
    const { signal } = new AbortController();
    const first = await answer(createScriptedGenerator(reply), questions, signal, memo);
    await writeFile(file(), "");
    const generator = createScriptedGenerator(reply);
    const second = await answer(generator, questions, signal, memo);
    expect(second.predictions).toEqual(first.predictions);
    const failed = questions.filter(({ text }) => text.includes("cat")).length;
    expect(failed).toBeGreaterThan(0);
    expect(generator.batches.flat()).toHaveLength(failed);
  });

  it("has nothing to ask about no questions", async () => {
    const generator = createScriptedGenerator(reply);
    expect((await answer(generator, [])).predictions).toEqual([]);
    expect(generator.batches).toEqual([]);
  });
});
