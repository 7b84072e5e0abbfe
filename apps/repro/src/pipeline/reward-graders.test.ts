import type { Question } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createScriptedGenerator, lastMessage } from "./__fixtures__/scripted-generator.ts";
import { createSilentContext } from "./__fixtures__/silent-context.ts";
import { createJudgeGrader, createRewardGraders } from "./reward-graders.ts";

const ask = (id: string, text: string, gold?: string): Question => ({
  id,
  conversationId: "c",
  text,
  ...(gold === undefined ? {} : { gold }),
  category: { code: "4", names: {} },
  evidenceTurnIds: ["D1:1"],
  answerable: true,
});

const city = ask("c/1", "Where does Zoë live?", "Lisbon");
const pet = ask("c/2", "What is the parrot named?", "Kiwi");
const open = ask("c/3", "Why?");

/** Right is what holds the gold answer; "babble" is no verdict, "silence" a failed call, "cut" half of one. */
const judgeModel = () =>
  createScriptedGenerator((request) => {
    const asked = lastMessage(request);
    if (asked.includes("silence")) return undefined;
    if (asked.includes("babble")) return "I cannot say.";
    return `{"label": "${/Lisboa|Kiwi 😀/.test(asked) ? "CORRECT" : "WRONG"}"}`;
  });

describe("createJudgeGrader", () => {
  it("scores verdicts, and gives no score for what is none, never 0", async () => {
    const model = judgeModel();
    const grade = createJudgeGrader("mem0-j", () => Promise.resolve(model));
    const scores = await grade([
      { question: city, prediction: "In Lisboa" },
      { question: city, prediction: "In Porto" },
      { question: city, prediction: "babble" },
      { question: city, prediction: "silence" },
      { question: open, prediction: "Because" },
      { question: { ...city, answerable: false }, prediction: "In Lisboa" },
      { question: pet, prediction: "Kiwi 😀" },
    ]);
    expect(scores).toEqual([1, 0, undefined, undefined, undefined, undefined, 1]);
    // What the judge has nothing to say about is not asked; all else is, in one batch, greedily.
    expect(model.batches.map((requests) => requests.length)).toEqual([5]);
    for (const { temperature, constraint } of model.batches.flat())
      expect([temperature, constraint?.type]).toEqual([0, "json_schema"]);
  });

  it("asks equal questions once, and opens no model for nothing", async () => {
    const model = judgeModel();
    let opened = 0;
    const grade = createJudgeGrader("mem0-j", () => {
      opened += 1;
      return Promise.resolve(model);
    });
    expect(await grade([])).toEqual([]);
    expect(await grade([{ question: open, prediction: "x" }])).toEqual([undefined]);
    expect(opened).toBe(0);
    const same = { question: city, prediction: "In Lisboa" };
    expect(await grade([same, { ...same }])).toEqual([1, 1]);
    expect(model.batches.map((requests) => requests.length)).toEqual([1]);
  });
});

describe("createRewardGraders", () => {
  it("grades by exact match, token F1, or a judge on the base model", async () => {
    const graders = createRewardGraders(judgeModel(), createSilentContext("unused"));
    const answers = [
      { question: city, prediction: "lisbon." },
      { question: city, prediction: "Lisbon town" },
      { question: open, prediction: "x" },
    ];
    expect(await graders.of("squad-em")(answers)).toEqual([1, 0, undefined]);
    // One of two words of the answer, and all of the gold: 2 * (1/2) * 1 / (1/2 + 1).
    expect(await graders.of("squad-f1")(answers)).toEqual([1, 2 / 3, undefined]);
    const judge = graders.of({ judge: "mem0-j", concurrency: 1 });
    expect(await judge([{ question: city, prediction: "Lisboa" }])).toEqual([1]);
    expect(() => graders.of("no-such-metric")).toThrow(/There is no metric/);
    expect(() => graders.of({ judge: "nobody", concurrency: 1 })).toThrow(/There is no judge/);
    await graders.close();
  });
});
