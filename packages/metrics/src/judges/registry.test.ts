import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { parseJson, ungraded } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import type { AnswerToJudge } from "./judge.ts";
import { judgePromptNames, judgePrompts } from "./prompts.ts";
import { judges } from "./registry.ts";

const folder = new URL("../../prompts/", import.meta.url);

const answer: AnswerToJudge = {
  question: "Where does {{gold}} Ana keep bees?",
  gold: "On the roof",
  prediction: "On the roof 🐝 {{question}}",
};

function textOf(name: keyof typeof judges, given: AnswerToJudge): string {
  const built = judges[name].build(given);
  if (built.status !== "ask") throw new Error(built.reason);
  expect(built.messages).toHaveLength(1);
  return built.messages[0]?.content ?? "";
}

function promptOf(name: keyof typeof judges, given: Partial<AnswerToJudge>): string {
  const built = judges[name].build({ ...answer, ...given });
  return built.status === "ask" ? built.prompt : built.reason;
}

describe("prompt files", () => {
  it("are all registered, in order and hashed", () => {
    expect(readdirSync(folder).toSorted()).toEqual(
      judgePromptNames.map((name) => `${name}.md`).toSorted(),
    );
    expect(judgePrompts.hashes()["judge-dmr"]).toBe(
      createHash("sha256")
        .update(readFileSync(new URL("judge-dmr.md", folder)))
        .digest("hex"),
    );
  });
});

describe.each(Object.entries(judges))("judge %s", (key, judge) => {
  it("shows question, gold and prediction as they are, greedily, under the hash of its prompt", () => {
    const built = judge.build(answer);
    if (built.status !== "ask") throw new Error(built.reason);
    const text = built.messages[0]?.content ?? "";
    expect(text).toContain("Question: Where does {{gold}} Ana keep bees?\n");
    expect(text).toContain(": On the roof\n");
    expect(text).toContain(": On the roof 🐝 {{question}}\n");
    expect(built.temperature).toBe(0);
    expect(built.promptSha256).toBe(judgePrompts.hashes()[built.prompt]);
  });

  it("has no verdict on an answer without gold", () => {
    expect(judge.build({ question: "?", prediction: "tea" })).toEqual(ungraded("no gold answer"));
  });

  it("gives 1, 0 and ungraded", () => {
    const [yes, no] = key.startsWith("longmemeval")
      ? ["Yes.", "No."]
      : key === "zep-j"
        ? ['{"is_correct": "CORRECT"}', '{"is_correct": "WRONG"}']
        : ['{"label": "CORRECT"}', '{"label": "WRONG"}'];
    expect(judge.parse(yes)).toEqual({ status: "graded", score: 1 });
    expect(judge.parse(no)).toEqual({ status: "graded", score: 0 });
  });
});

describe("contracts", () => {
  it("constrain JSON replies to the two labels, in the form that strict servers take", () => {
    const built = judges["mem0-j"].build(answer);
    if (built.status !== "ask") throw new Error(built.reason);
    expect(built.constraint?.type).toBe("json_schema");
    expect(parseJson(built.constraint?.value ?? "", z.unknown(), "schema")).toEqual({
      type: "object",
      properties: { label: { type: "string", enum: ["CORRECT", "WRONG"] } },
      required: ["label"],
      additionalProperties: false,
    });
    const zep = judges["zep-j"].build(answer);
    expect(zep).toHaveProperty("constraint.value", expect.stringContaining('"reasoning"'));
  });

  it("ask the same for a reply that is read as published", () => {
    expect(judges["mem0-j-as-published"].build(answer)).toEqual(judges["mem0-j"].build(answer));
    expect(judges["longmemeval-as-published"].build(answer)).toEqual(
      judges.longmemeval.build(answer),
    );
    expect(judges["longmemeval-as-published"].parse("yesterday")).toEqual({
      status: "graded",
      score: 1,
    });
  });

  it("are generous about the topic in mem0-j, and ask for the thing itself in dmr", () => {
    expect(textOf("mem0-j", answer)).toContain("touches on the same topic");
    expect(textOf("zep-j", answer)).toContain("touches on the same topic");
    expect(textOf("dmr", answer)).not.toContain("same topic");
    expect(textOf("dmr", answer)).toContain("I'm sorry, I don't remember");
  });

  it("leave unanswerable questions to LongMemEval's judge", () => {
    for (const name of ["mem0-j", "mem0-j-as-published", "zep-j", "dmr"] as const) {
      expect(judges[name].judgesUnanswerable).toBe(false);
      expect(promptOf(name, { answerable: false })).toContain("no rule for unanswerable");
    }
    expect(judges.longmemeval.judgesUnanswerable).toBe(true);
  });
});

describe("LongMemEval's templates", () => {
  it("follow the type, and the default where there is none", () => {
    expect(promptOf("longmemeval", {})).toBe("judge-longmemeval-default");
    expect(promptOf("longmemeval", { type: "multi-session" })).toBe("judge-longmemeval-default");
    expect(promptOf("longmemeval", { type: "knowledge-update" })).toBe(
      "judge-longmemeval-knowledge-update",
    );
  });

  it("give way to abstention, by the id's end or the field", () => {
    const abstention = "judge-longmemeval-abstention";
    expect(promptOf("longmemeval", { type: "temporal-reasoning", questionId: "q1_abs" })).toBe(
      abstention,
    );
    expect(promptOf("longmemeval", { type: "multi-session", answerable: false })).toBe(abstention);
    expect(promptOf("longmemeval", { questionId: "q_absent", answerable: true })).toBe(
      "judge-longmemeval-default",
    );
  });

  it("say where an explanation is missing", () => {
    const text = textOf("longmemeval", { question: "?", prediction: "x", answerable: false });
    expect(text).toContain("Explanation: (none given)");
  });

  it("do not guess at an unknown type", () => {
    expect(promptOf("longmemeval", { type: "toString" })).toContain(
      'LongMemEval has no type "toString"',
    );
  });
});
