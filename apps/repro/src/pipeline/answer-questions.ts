import { join } from "node:path";
import {
  type Answer,
  type AnswerAgent,
  answerAll,
  type AnswerMemory,
  type AnswerRequest,
} from "@memory-r1/core";
import type { AskedQuestion, Question, TextGenerator } from "@memory-r1/spec";
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

/** Where a run keeps the answers of one arm. */
export function predictionsFile(runDirectory: string, armName: string): string {
  return join(runDirectory, "predictions", `${armName}.jsonl`);
}

/** Keeps answers that no Answer Agent gave: those of a system that answers by itself. */
export async function writePredictions(
  file: string,
  predictions: readonly Prediction[],
): Promise<void> {
  await jsonLines(file, predictionSchema).keep(predictions);
}

/** The answers in a file; none where there is no file. @throws DataFormatError naming file and line */
export function readPredictions(file: string): Promise<readonly Prediction[]> {
  return jsonLines(file, predictionSchema).read();
}

/**
 * Answers of one generator by what it was asked, so that arms whose prompts are equal pay once. A failed call is not
 * remembered: the next arm asks again.
 */
export interface AnswerMemo {
  get(request: AnswerRequest): Answer | undefined;
  keep(request: AnswerRequest, answer: Answer): void;
}

/** An empty memo for answers of one generator by this agent's prompts. */
export function createAnswerMemo(agent: AnswerAgent): AnswerMemo {
  const answers = new Map<string, Answer>();
  const keyOf = (request: AnswerRequest): string => JSON.stringify(agent.prompt(request));
  return {
    get: (request) => answers.get(keyOf(request)),
    keep: (request, answer) => {
      if (answer.status !== "failed") answers.set(keyOf(request), answer);
    },
  };
}

/** Questions of one batch; fixed, so that a resumed evaluation runs the same batches. */
const batchSize = 48;

/**
 * Answers the questions in fixed batches and appends each batch to `file`; what is there already is kept.
 * A batch that a killed run left half-written is answered again as a whole. What `memo` holds is not asked again, and
 * the predictions are put into it when all are there: batches then depend on the arms before, never on a kill.
 */
export async function answerQuestions(options: {
  readonly questions: readonly Question[];
  readonly context: ContextSource;
  readonly generator: TextGenerator;
  readonly agent: AnswerAgent;
  readonly memo: AnswerMemo;
  /** Questions that nobody is asked, id to the reason: the system's model failed while it looked for context. */
  readonly withoutContext?: ReadonlyMap<string, string>;
  readonly file: string;
  readonly progress: ProgressTask;
  readonly signal: AbortSignal;
}): Promise<readonly Prediction[]> {
  const log = jsonLines(options.file, predictionSchema);
  const found = ofTheseQuestions(await log.read(), options.questions);
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
      batch.map(async (question) => {
        const failure = options.withoutContext?.get(question.id);
        return {
          question: withoutGold(question),
          memories: failure === undefined ? await options.context(question) : [],
          failure,
        };
      }),
    );
    const unasked = requests.filter(
      (request) => request.failure === undefined && options.memo.get(request) === undefined,
    );
    const answers = await answerAll({
      generator: options.generator,
      agent: options.agent,
      requests: unasked,
    });
    const answerOf = new Map(unasked.map((request, index) => [request, answers[index]]));
    const records = requests.map((request) =>
      toPrediction(
        request,
        request.failure === undefined
          ? (options.memo.get(request) ?? answerOf.get(request))
          : { status: "failed", reason: request.failure },
      ),
    );
    await log.append(records);
    predictions.push(...records);
    options.progress.advance(records.length);
  }
  for (const [index, { memories, outcome }] of predictions.entries()) {
    const question = options.questions[index];
    if (question === undefined) break;
    const asked = withoutGold(question);
    options.memo.keep({ question: asked, memories: memories.map(toAnswerMemory) }, outcome);
  }
  return predictions;
}

/** A question as the Answer Agent is asked it. */
export function withoutGold({ id, text, dateText }: Question): AskedQuestion {
  return { id, text, ...(dateText === undefined ? {} : { dateText }) };
}

/** The records from the first on that answer these questions in this order: an earlier evaluation may have asked others. */
function ofTheseQuestions(
  found: readonly Prediction[],
  questions: readonly Question[],
): Prediction[] {
  const end = found.findIndex(({ questionId }, index) => questionId !== questions[index]?.id);
  return end === -1 ? [...found] : found.slice(0, end);
}

function toAnswerMemory({ participant, ...memory }: Prediction["memories"][number]): AnswerMemory {
  return participant === undefined ? memory : { ...memory, participant };
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
