import { DataFormatError, type Outcome, parseJson, parseValue } from "@memory-r1/spec";
import { z } from "zod";
import type { InputLine } from "./input-lines.ts";
import type { PredictionLine } from "./scorers.ts";

/** Numbers are kept as their text where that is the number that stands in the file. */
const textOrNumber = z
  .union(
    [
      z.string(),
      z.number().refine((value) => !Number.isInteger(value) || Number.isSafeInteger(value), {
        error: "is a whole number too large to be exact: write it as text",
      }),
    ],
    {
      error: ({ input }) =>
        input === undefined
          ? "is missing: write null where there is none"
          : "must be text or a number",
    },
  )
  .transform(String);

const orAbsent = <T>(value: T | null | undefined): T | undefined => value ?? undefined;

const comparedText = textOrNumber.nullable().transform(orAbsent);
const optionalText = textOrNumber.nullish().transform(orAbsent);
const ids = z
  .array(textOrNumber, { error: "must be a list of texts" })
  .nullish()
  .transform(orAbsent);

const retrievalSchema = z.object({
  prediction: optionalText,
  answer: optionalText,
  category: optionalText,
  contextIds: ids,
  evidence: ids,
});
/** A missing answer is more likely a misspelt name than an answer that there is not: that is written as null. */
const answerSchema = retrievalSchema.extend({ prediction: comparedText, answer: comparedText });

const anyObject = z.looseObject({}, { error: "is not a JSON object" });

/** A line of predictions as it was read. */
export type ReadLine =
  | {
      readonly kind: "prediction";
      readonly line: PredictionLine;
      readonly write: (fields: ScoreFields) => WrittenLine;
    }
  | {
      readonly kind: "malformed";
      /** Says which line, which field and what is wrong. */
      readonly problem: string;
      readonly write: (fields: ScoreFields) => WrittenLine;
    };

export interface WrittenLine {
  readonly text: string;
  /** Whether a field of the line was overwritten. */
  readonly replaced: boolean;
}

/** What a line gets; written in this order. */
export interface ScoreFields {
  readonly score?: number | null;
  readonly reason?: string;
  readonly scores?: Readonly<Record<string, number | null>>;
  readonly reasons?: Readonly<Record<string, string>>;
}

/** Reads a line of JSON. Nothing is thrown: a line that cannot be read says why, and can be written all the same. */
export function readPredictionLine(
  input: InputLine,
  options: { readonly needsAnswers: boolean },
): ReadLine {
  const { number, content } = input;
  const where = `line ${number}`;
  if (content.kind === "too-long") {
    const problem = `${where} has ${content.byteLength} bytes, which is too many: its text is not kept`;
    return { kind: "malformed", problem, write: (fields) => anew(fields) };
  }
  if (content.kind === "no-utf8") {
    const rawBase64 = Buffer.from(content.bytes).toString("base64");
    return {
      kind: "malformed",
      problem: `${where} is not UTF-8`,
      write: (fields) => anew({ rawBase64, ...fields }),
    };
  }
  const { text } = content;
  const object = tryRead(where, () => parseJson(text, anyObject, where));
  if (typeof object === "string") {
    return {
      kind: "malformed",
      problem: object,
      write: (fields) => anew({ raw: text, ...fields }),
    };
  }
  const write = (fields: ScoreFields): WrittenLine => appendFields(text, object, fields);
  const schema = options.needsAnswers ? answerSchema : retrievalSchema;
  const line = tryRead(where, () => parseValue<PredictionLine>(object, schema, where));
  return typeof line === "string"
    ? { kind: "malformed", problem: line, write }
    : { kind: "prediction", line, write };
}

/** The value, or what is wrong with it in words. */
function tryRead<T extends object>(where: string, read: () => T): T | string {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof DataFormatError)) throw error;
    const { cause } = error;
    if (cause instanceof SyntaxError) return `${where} is not JSON: ${cause.message}`;
    const issue = cause instanceof z.ZodError ? cause.issues[0] : undefined;
    if (issue === undefined) return error.message;
    return `${[where, ...issue.path.map(String)].join(", ")} ${issue.message}`;
  }
}

function anew(content: object): WrittenLine {
  return { text: JSON.stringify(content), replaced: false };
}

/**
 * The object's own text with fields behind the others, so that whatever else is in it passes byte for byte. Where a
 * field is there already it is replaced, with the reason of an earlier scoring, and the line written anew.
 */
function appendFields(
  text: string,
  object: Readonly<Record<string, unknown>>,
  fields: ScoreFields,
): WrittenLine {
  if (Object.keys(fields).some((key) => Object.hasOwn(object, key))) {
    const { reason, reasons, ...others } = object;
    const kept = {
      ...others,
      ...(reason === undefined || object["score"] === null ? {} : { reason }),
      ...(reasons === undefined || Object.hasOwn(object, "scores") ? {} : { reasons }),
    };
    return { text: JSON.stringify({ ...kept, ...fields }), replaced: true };
  }
  const opened = text.slice(0, text.lastIndexOf("}")).trimEnd();
  const separator = Object.keys(object).length === 0 ? "" : ",";
  return { text: `${opened}${separator}${JSON.stringify(fields).slice(1)}`, replaced: false };
}

/** The fields of a line by what its metrics came to: one metric gives `score`, several give `scores`. */
export function scoreFields(outcomes: ReadonlyMap<string, Outcome>): ScoreFields {
  const [first, ...others] = outcomes.values();
  if (first !== undefined && others.length === 0) {
    return first.status === "graded"
      ? { score: first.score }
      : { score: null, reason: first.reason };
  }
  const scores: Record<string, number | null> = {};
  const reasons: Record<string, string> = {};
  for (const [metric, outcome] of outcomes) {
    scores[metric] = outcome.status === "graded" ? outcome.score : null;
    if (outcome.status === "ungraded") reasons[metric] = outcome.reason;
  }
  return Object.keys(reasons).length === 0 ? { scores } : { scores, reasons };
}
