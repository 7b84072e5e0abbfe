import { DataFormatError, graded, type Outcome, parseJson, ungraded } from "@memory-r1/spec";
import { z } from "zod";

/** Anything beside the verdict, such as an explanation, is ignored, as the sources do. */
const labelSchema = z.looseObject({ label: z.string() });
const isCorrectSchema = z.looseObject({ is_correct: z.string() });

const noVerdict = (reason: string): Outcome => ungraded(`no verdict: ${reason}`);

/** The reply without white space around it, and without the code fence around the whole of it. */
function unwrap(reply: string): string {
  const text = reply.trim();
  return /^```(?:json)?\s*([\s\S]*?)\s*```$/.exec(text)?.[1] ?? text;
}

/** The text of a JSON object as `schema` describes it; undefined where it is none. */
function readObject<T>(text: string, schema: z.ZodType<T>): T | undefined {
  try {
    return parseJson(text, schema, "reply of the judge");
  } catch (error) {
    // What a model writes is an outcome, never an exception.
    if (error instanceof DataFormatError) return undefined;
    throw error;
  }
}

/**
 * `{"label": "CORRECT" | "WRONG"}`, one object and nothing around it but a code fence. Departs from Mem0's script, which
 * takes every other label for WRONG and stops with an error where there is no JSON: both are ungraded here.
 */
export function parseLabelVerdict(reply: string): Outcome {
  const label = readObject(unwrap(reply), labelSchema)?.label;
  if (label === undefined) return noVerdict('the reply is no JSON object with a "label"');
  if (label === "CORRECT") return graded(1);
  if (label === "WRONG") return graded(0);
  return noVerdict(`the label is neither CORRECT nor WRONG but ${JSON.stringify(label)}`);
}

/**
 * As Mem0's script reads a reply: a code fence anywhere is opened, and whatever label is not exactly CORRECT is WRONG.
 * Where the script stops with an error (no JSON, no label) the reply is ungraded.
 * Source: mem0ai/mem0 evaluation/metrics/llm_judge.py and `extract_json` of mem0/memory/utils.py, at 9315e3036~1.
 */
export function parseMem0LabelAsPublished(reply: string): Outcome {
  const text = reply.trim();
  const inside = /```(?:json)?\s*([\s\S]*?)\s*```/.exec(text)?.[1] ?? text;
  const label = readObject(inside, z.looseObject({ label: z.unknown() }));
  if (label === undefined || !("label" in label)) {
    return noVerdict(
      "Mem0's script stops here with an error, as the reply is no JSON object with a label",
    );
  }
  return graded(label.label === "CORRECT" ? 1 : 0);
}

/** `{"is_correct": "CORRECT" | "WRONG"}` in any case, as Zep's evaluation reads it; other words are ungraded, there wrong. */
export function parseZepVerdict(reply: string): Outcome {
  const label = readObject(unwrap(reply), isCorrectSchema)?.is_correct;
  if (label === undefined) return noVerdict('the reply is no JSON object with "is_correct"');
  switch (label.trim().toLowerCase()) {
    case "correct":
      return graded(1);
    case "wrong":
      return graded(0);
    default:
      return noVerdict(`is_correct is neither CORRECT nor WRONG but ${JSON.stringify(label)}`);
  }
}

/**
 * Yes or no as the first word, without the other one behind it: "Yes.", "**No**, it lacks the year". Departs from
 * LongMemEval's script, which looks for the letters "yes" anywhere (so "yesterday" counts, and "no, ... not yes") and
 * takes the lack of them for no.
 */
export function parseYesNoVerdict(reply: string): Outcome {
  const words: readonly string[] = reply.toLowerCase().match(/[\p{L}\p{M}\p{N}']+/gu) ?? [];
  const [first] = words;
  if (first !== "yes" && first !== "no")
    return noVerdict("the reply does not begin with yes or no");
  if (words.includes(first === "yes" ? "no" : "yes")) return noVerdict("the reply says yes and no");
  return graded(first === "yes" ? 1 : 0);
}

/** As LongMemEval's script reads a reply: correct iff it holds the letters "yes". Source: `evaluate_qa.py` at 9e0b455. */
export function parseLongMemEvalAsPublished(reply: string): Outcome {
  return graded(reply.toLowerCase().includes("yes") ? 1 : 0);
}
