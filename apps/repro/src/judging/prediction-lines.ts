import { readFile } from "node:fs/promises";
import { plantedKindNames } from "@memory-r1/metrics";
import { ConfigError, DataFormatError, type Logger, parseJson } from "@memory-r1/spec";
import { z } from "zod";

/** Data sets write years and counts as numbers. */
const textOrNumber = z.union([z.string(), z.number()]).transform(String);

/** One answer to judge. Whatever else a line holds comes back as it is. */
export const predictionLineSchema = z.looseObject({
  id: textOrNumber.optional(),
  question: z.string(),
  /** The gold answer; absent: there is none, and the line stays ungraded. */
  answer: textOrNumber.optional(),
  /** Null: the system gave no answer (its call failed); the line stays ungraded. */
  prediction: textOrNumber.nullable(),
  /** Lines are summed up by it. */
  category: textOrNumber.optional(),
  /** LongMemEval's type of question. */
  type: textOrNumber.optional(),
  answerable: z.boolean().optional(),
  /** What a person says of the prediction. */
  label: z.enum(["correct", "wrong"]).optional(),
  /** What an audit planted here. */
  planted: z.enum(plantedKindNames).optional(),
});
export type PredictionLine = z.infer<typeof predictionLineSchema>;

/** A line that is no answer to judge; `problem` names file, line and field. */
export interface MalformedLine {
  readonly line: number;
  readonly problem: string;
}

/** What a judged line has beyond the answer: not taken over when a file of verdicts is judged by another judge. */
const fieldsOfVerdicts: ReadonlySet<string> = new Set([
  "line",
  "key",
  "score",
  "reason",
  "verdicts",
]);

const optionalFields: ReadonlySet<string> = new Set(
  Object.keys(predictionLineSchema.shape).filter(
    (name) => name !== "prediction" && name !== "question",
  ),
);

/** A line as people write it: many programs write null where there is nothing. */
const answerOfLine = z
  .looseObject({})
  .transform((fields) =>
    Object.fromEntries(
      Object.entries(fields).filter(
        ([name, value]) =>
          !fieldsOfVerdicts.has(name) && (value !== null || !optionalFields.has(name)),
      ),
    ),
  )
  .pipe(predictionLineSchema);

export interface PredictionFile {
  /** `line` counts from 1 in the file, blank lines included. */
  readonly lines: readonly { readonly line: number; readonly given: PredictionLine }[];
  readonly malformed: readonly MalformedLine[];
  /** Names of other fields; a misspelt `answerable` is seen here. */
  readonly otherFields: readonly string[];
}

/** Says what is wrong in a file and what is passed on, line by line. */
export function reportPredictionFile(
  { malformed, otherFields }: PredictionFile,
  logger: Logger,
): void {
  for (const { problem } of malformed) logger.warn(problem);
  if (otherFields.length > 0) {
    logger.info(`other fields come back as they are: ${otherFields.join(", ")}`);
  }
}

/**
 * Reads a file of predictions, one JSON object a line. A malformed line is named and costs no other.
 * @throws ConfigError where the file cannot be read or holds no line that can be judged
 */
export async function readPredictionFile(file: string): Promise<PredictionFile> {
  let content: string;
  try {
    content = await readFile(file, "utf8");
  } catch (cause) {
    throw new ConfigError(`${file} cannot be read (${String(cause)}). Check the path.`, cause);
  }
  const lines: { line: number; given: PredictionLine }[] = [];
  const malformed: MalformedLine[] = [];
  const otherFields = new Set<string>();
  for (const [index, text] of content
    .replace(/^\uFEFF/, "")
    .split("\n")
    .entries()) {
    if (text.trim() === "") continue;
    const line = index + 1;
    try {
      const given = parseJson(text, answerOfLine, `${file}:${line}`);
      lines.push({ line, given });
      for (const name of Object.keys(given)) {
        if (!Object.hasOwn(predictionLineSchema.shape, name)) otherFields.add(name);
      }
    } catch (error) {
      if (!(error instanceof DataFormatError)) throw error;
      malformed.push({ line, problem: error.message });
    }
  }
  if (lines.length > 0) return { lines, malformed, otherFields: [...otherFields] };
  throw new ConfigError(
    malformed[0]?.problem ??
      `${file} is empty. Write one JSON object a line: {"question", "answer", "prediction"}.`,
  );
}
