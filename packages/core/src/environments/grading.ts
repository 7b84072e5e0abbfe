import type { Question } from "@memory-r1/spec";
import type { Answer } from "./answering.ts";

/** What was answered to a question. */
export interface AnswerToGrade {
  readonly question: Question;
  readonly prediction: string;
}

/**
 * Grades answers from 0 to 1, in their order; undefined where one cannot be graded, which masks its sample and is never
 * a 0. All at once, since a judge is a language model that answers batches.
 */
export type AnswerGrader = (
  answers: readonly AnswerToGrade[],
) => Promise<readonly (number | undefined)[]>;

/** Scores one answer; undefined where it cannot be graded: exact match or token F1, the functions of the result tables. */
export type AnswerScore = (prediction: string, question: Question) => number | undefined;

/** A grader that needs no model. */
export function createMetricGrader(score: AnswerScore): AnswerGrader {
  return (answers) =>
    Promise.resolve(answers.map(({ question, prediction }) => score(prediction, question)));
}

/**
 * The scores of answers, in their order. A reply without an answer in it scores 0; a call that failed has no score.
 * Equal answers to one question are graded once.
 * @param questions those of the answers, in the same order
 */
export async function gradeAnswers(
  grade: AnswerGrader,
  answers: readonly Answer[],
  questions: readonly Question[],
): Promise<readonly (number | undefined)[]> {
  const distinct = new Map<string, AnswerToGrade>();
  const keys = questions.map((question, index) => {
    const answer = answers[index];
    if (answer?.status !== "answered") return undefined;
    const key = JSON.stringify([question.id, answer.answer]);
    distinct.set(key, { question, prediction: answer.answer });
    return key;
  });
  const scores = distinct.size === 0 ? [] : await grade([...distinct.values()]);
  const scoreOf = new Map([...distinct.keys()].map((key, index) => [key, scores[index]]));
  return keys.map((key, index) => {
    if (key !== undefined) return scoreOf.get(key);
    return answers[index]?.status === "unparsable" ? 0 : undefined;
  });
}
