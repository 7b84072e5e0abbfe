import type { Question } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createAnswerAgent } from "../answer/answer-agent.ts";
import type { AnswerVariantName } from "../answer/variants/registry.ts";
import { allQuestions, questions } from "./__fixtures__/ana-and-ben.ts";
import { type AnswerTask, createAnswerEnvironment } from "./answer-environment.ts";
import { createMetricGrader } from "./grading.ts";

/** Exact match; undefined where there is no gold answer. */
function score(prediction: string, question: Question): number | undefined {
  if (question.gold === undefined) return undefined;
  return prediction === question.gold ? 1 : 0;
}

const toTask = (question: Question): AnswerTask => ({
  question,
  memories: [{ text: "**Answer:** Lisbon", date: "1 May 2024" }],
});

function environment(variant: AnswerVariantName = "short", asked = allQuestions) {
  return createAnswerEnvironment({
    tasks: asked.map(toTask),
    tasksPerStep: 4,
    seed: 3,
    agent: createAnswerAgent({ variant }),
    grade: createMetricGrader(score),
  });
}

/** One group: the same question, one reply each. */
async function rewardsOf(
  question: Question,
  replies: readonly string[],
  variant?: AnswerVariantName,
) {
  const env = environment(variant);
  const episodes = await Promise.all(
    replies.map(async (text) => {
      const episode = env.start(toTask(question));
      await episode.nextPrompt();
      await episode.act({ text, stopReason: "stop" });
      return episode;
    }),
  );
  return env.rewards(episodes);
}

describe("the Answer Agent's environment", () => {
  it("pays each reply of a group for itself, so that a group can differ", async () => {
    expect(await rewardsOf(questions.city, ["Lisbon", "Porto", "", "Answer: Lisbon"])).toEqual([
      { reward: 1, metrics: { unparsable: 0 } },
      { reward: 0, metrics: { unparsable: 0 } },
      { reward: 0, metrics: { unparsable: 1 } },
      { reward: 1, metrics: { unparsable: 0 } },
    ]);
  });

  it("counts a marker only where the reply has it, not where the prompt does", async () => {
    const replies = ["Lisbon", "- 1: Ana\n**Answer:** Lisbon", "**Answer:**"];
    const rewards = await rewardsOf(questions.city, replies, "distill");
    expect(rewards.map(({ reward }) => reward)).toEqual([0, 1, 0]);
    expect(rewards.map(({ metrics }) => metrics["unparsable"])).toEqual([1, 0, 1]);
  });

  it("masks what cannot be graded: no gold answer, or no reply", async () => {
    const [ungraded] = await rewardsOf(questions.ungraded, ["Because"]);
    expect(ungraded).toEqual({ reward: undefined, metrics: { unparsable: 0 } });
    const env = environment();
    expect(await env.rewards([env.start(toTask(questions.city))])).toEqual([
      { reward: undefined, metrics: {} },
    ]);
  });

  it("asks once, without gold answer or evidence", async () => {
    const episode = environment().start(toTask(questions.kitchen));
    const prompt = await episode.nextPrompt();
    expect(JSON.stringify(prompt)).toContain(questions.kitchen.text);
    expect(JSON.stringify(prompt)).not.toMatch(/yellow|D2:2/);
    await episode.act({ text: "red", stopReason: "stop" });
    expect(await episode.nextPrompt()).toBeUndefined();
    expect(episode.reply()).toBe("red");
  });

  it("has every question once an epoch, by step and seed alone", async () => {
    const env = environment();
    const idsOf = async (step: number) => (await env.tasks(step)).map((task) => env.taskId(task));
    const epoch = [...(await idsOf(0)), ...(await idsOf(1))];
    expect(epoch.toSorted()).toEqual(allQuestions.map(({ id }) => id).toSorted());
    expect((await environment().tasks(1)).map(({ question }) => question.id)).toEqual(
      epoch.slice(4),
    );
    expect(await environment("short", []).tasks(0)).toEqual([]);
  });
});
