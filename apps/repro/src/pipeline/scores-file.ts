import { join } from "node:path";
import { ConfigError, graded, ungraded } from "@memory-r1/spec";
import { z } from "zod";
import type { Experiment } from "../experiment.ts";
import { askedOf, type EvaluatedQuestions } from "./evaluate-arms.ts";
import { jsonLines } from "./json-lines.ts";
import { refusalMetric, type ScoreOf } from "./score-predictions.ts";

/**
 * Every single score of a run, by arm and question: numbers and ids, no text of the data set. What is published with a
 * result, so that others can compute its intervals again and average its seeds with theirs.
 */
export const scoresFile = "scores.jsonl";

const lineSchema = z.strictObject({
  arm: z.string(),
  questionId: z.string(),
  /** Metric to score; null: ungraded. */
  scores: z.record(z.string(), z.number().nullable()),
});

/** The content of `scoresFile`. */
export function renderScores(
  experiment: Experiment,
  questions: EvaluatedQuestions,
  scoreOf: ScoreOf,
): string {
  const { arms, metrics, mainMetric } = experiment.evaluation;
  const names = [...new Set([...metrics, mainMetric, refusalMetric])];
  return arms
    .flatMap((arm) =>
      askedOf(arm, questions).map((question): z.infer<typeof lineSchema> => ({
        arm: arm.name,
        questionId: question.id,
        scores: Object.fromEntries(
          names.map((metric) => {
            const outcome = scoreOf(arm.name, question, metric);
            return [metric, outcome.status === "graded" ? outcome.score : null];
          }),
        ),
      })),
    )
    .map((line) => `${JSON.stringify(line)}\n`)
    .join("");
}

/**
 * The scores that were published with a result.
 * @throws ConfigError where there are none; from the scores, where a question or a metric is not among them
 */
export async function readScores(directory: string): Promise<ScoreOf> {
  const file = join(directory, scoresFile);
  const lines = await jsonLines(file, lineSchema).read();
  if (lines.length === 0)
    throw new ConfigError(
      `${file} is missing or empty: this result was published without single scores, so only its own tables can be shown.`,
    );
  const keyOf = (arm: string, questionId: string): string => JSON.stringify([arm, questionId]);
  const known = new Map(
    lines.map(({ arm, questionId, scores }) => [keyOf(arm, questionId), scores]),
  );
  return (arm, question, metric) => {
    const scores = known.get(keyOf(arm, question.id));
    if (scores === undefined)
      throw new ConfigError(
        `${file} has no scores of arm "${arm}" for question ${question.id}: it is not of the configuration in its manifest.`,
      );
    const score = scores[metric];
    if (score === undefined)
      throw new ConfigError(
        `${file} has no scores by "${metric}", only by ${Object.keys(scores).join(", ")}: a published result has no answers ` +
          "that could be scored again.",
      );
    return score === null ? ungraded("not graded when it was published") : graded(score);
  };
}
