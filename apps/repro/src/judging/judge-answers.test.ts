import { appendFile, readFile, writeFile } from "node:fs/promises";
import { judgePromptHashes } from "@memory-r1/metrics";
import { createScriptedGenerator, type ScriptedReply } from "@memory-r1/models/testing";
import { ConfigError, type GenerateRequest, ModelCallError } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createCountingProgress } from "../pipeline/__fixtures__/counting-progress.ts";
import { useTemporaryFolder } from "../pipeline/__fixtures__/temporary-folder.ts";
import { jsonLines } from "../pipeline/json-lines.ts";
import { judgeAnswers, type JudgeAnswersOptions, type JudgeItem } from "./judge-answers.ts";
import type { PredictionLine } from "./prediction-lines.ts";
import { judgedLineSchema } from "./verdict.ts";

const inFolder = useTemporaryFolder();

const item = (
  line: number,
  prediction: string | null,
  more: Partial<PredictionLine> = {},
): JudgeItem => ({
  line,
  given: { id: `q${line}`, question: "What does Ana drink?", answer: "tea", prediction, ...more },
});

const correct = '{"label": "CORRECT"}';
const wrong = '{"label": "WRONG"}';

/** Judges by the prediction alone: right where it says tea. */
const teaJudge = ({ messages }: GenerateRequest): ScriptedReply =>
  /Answer of the system: .*tea/.test(messages[0]?.content ?? "") ? correct : wrong;

function setUp(
  items: readonly JudgeItem[],
  reply: (
    request: GenerateRequest,
    completion: number,
  ) => ScriptedReply | Promise<ScriptedReply> = teaJudge,
) {
  const generator = createScriptedGenerator(reply);
  const file = inFolder("verdicts.jsonl");
  const progress = createCountingProgress();
  const judge = (more: Partial<JudgeAnswersOptions> = {}) =>
    judgeAnswers({
      judge: "mem0-j",
      model: "a-model",
      generator: () => Promise.resolve(generator),
      items,
      file,
      runs: 1,
      constrained: true,
      concurrency: 3,
      progress,
      signal: new AbortController().signal,
      ...more,
    });
  return { generator, file, progress, judge };
}

describe("judgeAnswers", () => {
  it("keeps every line in order, with its verdict and all that it rests on", async () => {
    const { generator, file, progress, judge } = setUp([item(1, "green tea"), item(4, "coffee")]);
    const lines = await judge();
    expect(lines[0]).toEqual({
      id: "q1",
      question: "What does Ana drink?",
      answer: "tea",
      prediction: "green tea",
      line: 1,
      key: expect.stringMatching(/^[0-9a-f]{64}$/),
      score: 1,
      verdicts: [
        {
          judge: "mem0-j",
          model: "a-model",
          prompt: "judge-mem0-j",
          promptSha256: judgePromptHashes()["judge-mem0-j"],
          temperature: 0,
          maxTokens: 64,
          constrained: true,
          seed: 0,
          reply: correct,
          outcome: { status: "graded", score: 1 },
        },
      ],
    });
    expect(lines.map(({ line, score }) => [line, score])).toEqual([
      [1, 1],
      [4, 0],
    ]);
    expect(await jsonLines(file, judgedLineSchema).read()).toEqual(lines);
    expect(progress.count()).toBe(2);
    expect(generator.requests[0]).toMatchObject({
      temperature: 0,
      maxTokens: 64,
      seed: 0,
      constraint: { type: "json_schema" },
    });
  });

  it("leaves a reply that is no verdict ungraded, with the reply", async () => {
    const { judge } = setUp([item(1, "tea"), item(2, "coffee")], ({ messages }) =>
      messages[0]?.content.includes("coffee") ? `${"word ".repeat(80)}` : "I think CORRECT",
    );
    const [first, second] = await judge();
    expect(first).toMatchObject({
      score: null,
      reason: 'no verdict: the reply is no JSON object with a "label"',
      verdicts: [{ reply: "I think CORRECT", outcome: { status: "ungraded" } }],
    });
    expect(second?.reason).toContain("cut off after 64 tokens");
  });

  it("asks no model where there is nothing to ask", async () => {
    const { generator, judge } = setUp([
      item(1, null),
      { line: 2, given: { question: "?", prediction: "tea" } },
      item(3, "Not mentioned", { answerable: false }),
      { ...item(4, null), decided: { score: 0, reason: "no answer: empty" } },
    ]);
    const lines = await judge();
    expect(lines.map(({ score, reason, verdicts }) => [score, reason, verdicts.length])).toEqual([
      [null, "no prediction", 0],
      [null, "no gold answer", 0],
      [null, "this judge has no rule for unanswerable questions", 0],
      [0, "no answer: empty", 0],
    ]);
    expect(generator.requests).toEqual([]);
  });

  it("does not open the model where every verdict is there", async () => {
    const { generator, progress, judge } = setUp([item(1, "tea")]);
    const first = await judge();
    const second = await judge({
      generator: () => Promise.reject(new Error("opened all the same")),
    });
    expect(second).toEqual(first);
    expect(generator.requests).toHaveLength(1);
    expect(progress.count()).toBe(2);
  });

  it("makes failed calls again, and no others", async () => {
    let isDown = true;
    const { generator, judge } = setUp([item(1, "tea"), item(2, "coffee")], (request) =>
      isDown && request.messages[0]?.content.includes("coffee")
        ? { failed: "HTTP 500" }
        : teaJudge(request),
    );
    const [, failed] = await judge();
    expect(failed).toMatchObject({ score: null, reason: "the call failed: HTTP 500" });
    expect(failed?.verdicts[0]).not.toHaveProperty("reply");
    isDown = false;
    const [, mended] = await judge();
    expect(mended).toMatchObject({ score: 0, verdicts: [{ reply: wrong }] });
    expect(generator.requests).toHaveLength(3);
  });

  it("judges equal answers once, whatever their id", async () => {
    const { generator, progress, judge } = setUp([item(1, "tea"), item(2, "tea"), item(3, "milk")]);
    expect((await judge()).map(({ id, score }) => [id, score])).toEqual([
      ["q1", 1],
      ["q2", 1],
      ["q3", 0],
    ]);
    expect(generator.requests).toHaveLength(2);
    expect(progress.count()).toBe(3);
  });

  it("gives one verdict for each run, under its own seed, and adds runs to those that are there", async () => {
    // The first two runs say CORRECT, the third WRONG.
    const { generator, judge } = setUp([item(1, "tea")], ({ seed }) =>
      seed < 2 ? correct : wrong,
    );
    expect((await judge({ runs: 2 }))[0]).toMatchObject({ score: 1 });
    const [line] = await judge({ runs: 3 });
    expect(line?.score).toBeCloseTo(2 / 3, 12);
    expect(line?.verdicts.map(({ seed }) => seed)).toEqual([0, 1, 2]);
    expect(generator.requests.map(({ seed }) => seed)).toEqual([0, 1, 2]);
    expect((await judge({ runs: 1 }))[0]?.verdicts).toHaveLength(3);
  });

  it("sends no schema where it is told not to", async () => {
    const { generator, judge } = setUp([item(1, "tea")]);
    const [line] = await judge({ constrained: false });
    expect(generator.requests[0]).not.toHaveProperty("constraint");
    expect(line?.verdicts[0]?.constrained).toBe(false);
  });

  it("has no more in work than it may", async () => {
    let running = 0;
    let most = 0;
    const items = Array.from({ length: 12 }, (_, index) => item(index + 1, `tea ${index}`));
    const file = inFolder("verdicts.jsonl");
    const lines = await setUp(items).judge({
      file,
      concurrency: 3,
      generator: () =>
        Promise.resolve({
          description: "slow",
          generate: async (requests) => {
            running += 1;
            most = Math.max(most, running);
            await new Promise((resolve) => setTimeout(resolve, 2));
            running -= 1;
            return requests.map(() => ({
              status: "completed" as const,
              completions: [{ text: correct, stopReason: "stop" as const }],
            }));
          },
        }),
    });
    expect(lines).toHaveLength(12);
    expect(most).toBe(3);
  });
});

describe("an interrupted judging", () => {
  const items = Array.from({ length: 6 }, (_, index) => item(index + 1, `tea ${index}`));

  it("leaves what was judged, and ends in the same file once it is gone on with", async () => {
    const whole = await setUp(items).judge({ file: inFolder("whole.jsonl") });
    const controller = new AbortController();
    const reason = new Error("Ctrl-C");
    const { generator, file, judge } = setUp(items, (request) => {
      if (generator.requests.length === 3) controller.abort(reason);
      return teaJudge(request);
    });
    await expect(judge({ signal: controller.signal, concurrency: 1 })).rejects.toBe(reason);
    expect(await jsonLines(file, judgedLineSchema).read()).toHaveLength(3);
    await appendFile(file, '{"question": "half a li');
    expect(await judge()).toEqual(whole);
    expect(generator.requests).toHaveLength(6);
    expect(await readFile(file, "utf8")).toBe(await readFile(inFolder("whole.jsonl"), "utf8"));
  });

  it("waits for what is in work before it gives up", async () => {
    const { file, judge } = setUp(items, async (request) => {
      if (request.messages[0]?.content.includes("tea 0")) throw new Error("the engine is gone");
      await new Promise((resolve) => setTimeout(resolve, 5));
      return correct;
    });
    await expect(judge({ concurrency: 2 })).rejects.toThrow("the engine is gone");
    const kept = await jsonLines(file, judgedLineSchema).read();
    expect(kept.map(({ line }) => line)).toEqual([2]);
  });

  it("stops where every call fails from the first on", async () => {
    const many = Array.from({ length: 30 }, (_, index) => item(index + 1, `tea ${index}`));
    const { generator, judge } = setUp(many, () => ({ failed: "HTTP 401: no such key" }));
    const failure = judge({ concurrency: 1 });
    await expect(failure).rejects.toBeInstanceOf(ModelCallError);
    await expect(failure).rejects.toThrow("The first 8 answers could not be judged");
    await expect(failure).rejects.toThrow("HTTP 401: no such key");
    expect(generator.requests).toHaveLength(8);
  });
});

describe("a file of other verdicts", () => {
  it.each<[string, Partial<JudgeAnswersOptions>, string]>([
    ["another judge", { judge: "dmr" }, "verdicts of the judge mem0-j"],
    ["another model", { model: "b-model" }, "verdicts of the model a-model"],
    ["other answers", { items: [item(1, "water")] }, "verdicts on other answers"],
  ])("is not written over: %s", async (_, other, message) => {
    const { file, judge } = setUp([item(1, "tea")]);
    await judge();
    const before = await readFile(file, "utf8");
    await expect(judge(other)).rejects.toBeInstanceOf(ConfigError);
    await expect(judge(other)).rejects.toThrow(message);
    expect(await readFile(file, "utf8")).toBe(before);
  });

  it("is not written over: an earlier prompt", async () => {
    const { file, judge } = setUp([item(1, "tea")]);
    await judge();
    const text = await readFile(file, "utf8");
    await writeFile(file, text.replace(judgePromptHashes()["judge-mem0-j"] ?? "?", "0".repeat(64)));
    await expect(judge()).rejects.toThrow("earlier version of the prompt judge-mem0-j");
  });

  it("is not written over: no verdicts at all", async () => {
    const { file, judge } = setUp([item(1, "tea")]);
    await writeFile(file, '{"my": "notes"}\n');
    await expect(judge()).rejects.toThrow(`${file}:1`);
    expect(await readFile(file, "utf8")).toBe('{"my": "notes"}\n');
  });

  it("is gone on with where some answers are new and some have gone", async () => {
    const { generator, judge } = setUp([item(1, "tea"), item(2, "milk")]);
    await judge();
    const lines = await judge({ items: [item(1, "milk"), item(2, "water")] });
    expect(lines.map(({ prediction, score }) => [prediction, score])).toEqual([
      ["milk", 0],
      ["water", 0],
    ]);
    expect(generator.requests).toHaveLength(3);
  });
});
