import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { graded, parseJson } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { longMemEvalTemplate } from "./longmemeval-template.ts";
import {
  parseLabelVerdict,
  parseLongMemEvalAsPublished,
  parseMem0LabelAsPublished,
  parseYesNoVerdict,
  parseZepVerdict,
} from "./parse-verdict.ts";

const correct = graded(1);
const wrong = graded(0);

describe("parseLabelVerdict", () => {
  it.each([
    ['{"label": "CORRECT"}', correct],
    ['{"label":"WRONG"}', wrong],
    [' \n{"label": "WRONG"}\n', wrong],
    ['```json\n{"label": "CORRECT"}\n```', correct],
    ['```\n{"label": "CORRECT"}\n```', correct],
    ['{"explanation": "not WRONG", "label": "CORRECT"}', correct],
  ])("reads %j", (reply, outcome) => expect(parseLabelVerdict(reply)).toEqual(outcome));

  it.each([
    ["", "no JSON object"],
    ["CORRECT", "no JSON object"],
    ['"CORRECT"', "no JSON object"],
    ['["CORRECT"]', "no JSON object"],
    ['{"verdict": "CORRECT"}', "no JSON object"],
    ['{"label": true}', "no JSON object"],
    ['{"label": "CORRECT"', "no JSON object"],
    ['The label is {"label": "CORRECT"}', "no JSON object"],
    ['{"label": "CORRECT"}{"label": "WRONG"}', "no JSON object"],
    ['{"label": "correct"}', 'neither CORRECT nor WRONG but "correct"'],
    ['{"label": "CORRECT or WRONG"}', "neither CORRECT nor WRONG"],
    ['{"label": "ＣＯＲＲＥＣＴ"}', "neither CORRECT nor WRONG"],
  ])("leaves %j ungraded", (reply, reason) => {
    const outcome = parseLabelVerdict(reply);
    expect(outcome.status).toBe("ungraded");
    expect(outcome).toHaveProperty("reason", expect.stringContaining(reason));
  });
});

describe("parseMem0LabelAsPublished", () => {
  it("takes every label but CORRECT for wrong, and opens a fence anywhere", () => {
    expect(parseMem0LabelAsPublished('{"label": "correct"}')).toEqual(wrong);
    expect(parseMem0LabelAsPublished('{"label": null}')).toEqual(wrong);
    expect(parseMem0LabelAsPublished('So:\n```json\n{"label": "CORRECT"}\n```\nDone.')).toEqual(
      correct,
    );
  });

  it.each(["", "CORRECT", '{"verdict": "CORRECT"}', "[]"])(
    "leaves %j ungraded, where the script dies",
    (reply) => expect(parseMem0LabelAsPublished(reply).status).toBe("ungraded"),
  );
});

describe("parseZepVerdict", () => {
  it("reads the label in any case", () => {
    expect(parseZepVerdict('{"is_correct": "correct", "reasoning": "it fits"}')).toEqual(correct);
    expect(parseZepVerdict('{"reasoning": "", "is_correct": "Wrong"}')).toEqual(wrong);
  });

  it.each(["", '{"is_correct": true}', '{"is_correct": "partly"}', '{"label": "CORRECT"}'])(
    "leaves %j ungraded",
    (reply) => expect(parseZepVerdict(reply).status).toBe("ungraded"),
  );
});

describe("parseYesNoVerdict", () => {
  it.each([
    ["yes", correct],
    ["Yes.", correct],
    [" **YES** – équivalent", correct],
    ["no", wrong],
    ["No, the response lacks the year", wrong],
    ["No. No month is given", wrong],
  ])("reads %j", (reply, outcome) => expect(parseYesNoVerdict(reply)).toEqual(outcome));

  it.each([
    ["", "does not begin with"],
    ["yesterday", "does not begin with"],
    ["noyes", "does not begin with"],
    ["not really", "does not begin with"],
    ["The answer is yes", "does not begin with"],
    ["Yes and no", "yes and no"],
    ["No: a yes would need the year", "yes and no"],
  ])("leaves %j ungraded", (reply, reason) => {
    const outcome = parseYesNoVerdict(reply);
    expect(outcome.status).toBe("ungraded");
    expect(outcome).toHaveProperty("reason", expect.stringContaining(reason));
  });
});

describe("parseLongMemEvalAsPublished", () => {
  it("finds its three letters anywhere, and takes all else for no", () => {
    expect(parseLongMemEvalAsPublished("It was yesterday")).toEqual(correct);
    expect(parseLongMemEvalAsPublished("No: a yes would need the year")).toEqual(correct);
    expect(parseLongMemEvalAsPublished("I cannot say")).toEqual(wrong);
  });
});

// What the official scripts do with a reply, by reading them. It lies beside the repository, not in it.
const file = fileURLToPath(
  new URL("../../../../../shared/golden/metrics/label_parsing.json", import.meta.url),
);
const isMissing = !existsSync(file);
const note = isMissing ? " (skipped: no ../shared/golden beside the repository)" : "";

describe.skipIf(isMissing)(`label parsing golden vectors${note}`, () => {
  const schema = z.object({
    longmemeval_label_is_substring_yes: z
      .array(z.object({ reply: z.string(), label: z.boolean() }))
      .min(4),
    mem0_label_exact_CORRECT_after_json_parse: z
      .array(z.object({ reply: z.string(), score: z.union([z.number(), z.string()]) }))
      .min(3),
    zep_label_lowercase_strip: z
      .array(z.object({ is_correct: z.string(), grade: z.boolean() }))
      .min(2),
    longmemeval_template_choice: z
      .array(z.object({ question_id: z.string(), question_type: z.string(), template: z.string() }))
      .min(6),
  });
  const read = (): z.infer<typeof schema> => parseJson(readFileSync(file, "utf8"), schema, file);

  it("reads replies as LongMemEval's script", () => {
    for (const { reply, label } of read().longmemeval_label_is_substring_yes) {
      expect(parseLongMemEvalAsPublished(reply), reply).toEqual(label ? correct : wrong);
    }
  });

  it("reads replies as Mem0's script; where that raises, ungraded", () => {
    for (const { reply, score } of read().mem0_label_exact_CORRECT_after_json_parse) {
      const outcome = parseMem0LabelAsPublished(reply);
      const found = outcome.status === "graded" ? outcome.score : "ungraded";
      expect(found, reply).toBe(typeof score === "number" ? score : "ungraded");
    }
  });

  it("reads replies as Zep's evaluation", () => {
    for (const { is_correct, grade } of read().zep_label_lowercase_strip) {
      const reply = JSON.stringify({ is_correct, reasoning: "" });
      expect(parseZepVerdict(reply), reply).toEqual(grade ? correct : wrong);
    }
  });

  it("chooses LongMemEval's templates", () => {
    const ours = new Map([
      ["abstention", "judge-longmemeval-abstention"],
      ["default", "judge-longmemeval-default"],
      ["temporal (off-by-one tolerant)", "judge-longmemeval-temporal-reasoning"],
      ["knowledge-update", "judge-longmemeval-knowledge-update"],
      ["rubric", "judge-longmemeval-single-session-preference"],
    ]);
    for (const row of read().longmemeval_template_choice) {
      expect(
        longMemEvalTemplate({ questionId: row.question_id, type: row.question_type }),
        JSON.stringify(row),
      ).toBe(ours.get(row.template));
    }
  });
});
