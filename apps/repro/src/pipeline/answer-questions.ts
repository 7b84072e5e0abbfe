import { join } from "node:path";
import { type Answer, type AnswerAgent, answerAll, type AnswerMemory } from "@memory-r1/core";
import type { Question, TextGenerator } from "@memory-r1/spec";
import { z } from "zod";
import type { ProgressTask } from "../run-context.ts";
import type { ContextSource } from "./contexts.ts";
import { jsonLines } from "./json-lines.ts";

const predictionSchema = z.strictObject({
  questionId: z.string(),
  /** What the prompt showed, for whoever reads a failure. */
  memories: z.array(
    z.strictObject({ text: z.string(), date: z.string(), participant: z.string().optional() }),
  ),
  outcome: z.discriminatedUnion("status", [
    z.strictObject({ status: z.literal("answered"), answer: z.string(), raw: z.string() }),
    z.strictObject({ status: z.literal("unparsable"), reason: z.string(), raw: z.string() }),
    z.strictObject({ status: z.literal("failed"), reason: z.string() }),
  ]),
});
/** One question's answer by one arm: raw, so that any metric can be computed from it later. */
export type Prediction = z.infer<typeof predictionSchema>;

/** What an arm of a run has answered so far; none where it has not begun. @throws DataFormatError */
export function readPredictions(
  runDirectory: string,
  armName: string,
): Promise<readonly Prediction[]> {
  return jsonLines(predictionFile(runDirectory, armName), predictionSchema).read();
}

export function predictionFile(runDirectory: string, armName: string): string {
  return join(runDirectory, "predictions", `${armName}.jsonl`);
}

/** Questions of one batch; fixed, so that a resumed evaluation runs the same batches. */
const batchSize = 48;

/**
 * Answers the questions in fixed batches and appends each batch to `file`; what is there already is kept.
 * A batch that a killed run left half-written is answered again as a whole.
 */
export async function answerQuestions(options: {
  readonly questions: readonly Question[];
  readonly context: ContextSource;
  readonly generator: TextGenerator;
  readonly agent: AnswerAgent;
  readonly file: string;
  readonly progress: ProgressTask;
  readonly signal: AbortSignal;
}): Promise<readonly Prediction[]> {
  const log = jsonLines(options.file, predictionSchema);
  const found = await log.read();
  const isFinished = found.length >= options.questions.length;
  const predictions = isFinished
    ? found
    : found.slice(0, found.length - (found.length % batchSize));
  // Also cuts off a half-written line that a killed run left.
  if (!isFinished) await log.keep(predictions);
  options.progress.advance(predictions.length);
  while (predictions.length < options.questions.length) {
    options.signal.throwIfAborted();
    const batch = options.questions.slice(predictions.length, predictions.length + batchSize);
    const requests = await Promise.all(
      batch.map(async (question) => ({
        question: { id: question.id, text: question.text },
        memories: await options.context(question),
      })),
    );
    const answers = await answerAll({
      generator: options.generator,
      agent: options.agent,
      requests,
    });
    const records = requests.map((request, index) => toPrediction(request, answers[index]));
    await log.append(records);
    predictions.push(...records);
    options.progress.advance(records.length);
  }
  return predictions;
}

function toPrediction(
  request: { question: { id: string }; memories: readonly AnswerMemory[] },
  answer: Answer | undefined,
): Prediction {
  return {
    questionId: request.question.id,
    memories: request.memories.map((memory) => ({ ...memory })),
    outcome: answer ?? { status: "failed", reason: "the generator gave no answer" },
  };
}
