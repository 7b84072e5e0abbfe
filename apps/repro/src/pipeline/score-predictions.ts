import { computeLocomoRefusal, hasCorruptGold, metrics, scoreAnswer } from "@memory-r1/metrics";
import type { ArmName, PredictionRecord, TableColumn } from "@memory-r1/report";
import { graded, type Outcome, type Question, ungraded } from "@memory-r1/spec";
import { type EvaluatedSplit, evaluatedSplits, type Experiment } from "../experiment.ts";
import type { Prediction } from "./answer-questions.ts";
import type { EvaluatedQuestions, Evaluation } from "./evaluate-arms.ts";
import { knownName } from "./known-name.ts";

export const splitColumn = {
  key: "split",
  label: "Questions of",
  kind: "text",
} as const satisfies TableColumn;

/** The name under which records hold whether a reply declines to answer, 1 or 0. */
export const refusalMetric = "refusal";

/** Every answer of one split, scored. */
export interface ScoredSplit {
  readonly split: EvaluatedSplit;
  /** The questions of the tables, by every metric of the experiment. */
  readonly records: readonly PredictionRecord[];
  /**
   * Questions that the conversation does not answer, by `refusalMetric`: the adversarial ones that were asked, and
   * those of the tables that the data set calls unanswerable. Beside the arms there is a system that always refuses.
   */
  readonly toRefuse: readonly PredictionRecord[];
  /** All others, by `refusalMetric` and the main metric; empty where there is nothing to refuse. */
  readonly toAnswer: readonly PredictionRecord[];
}

/** What an arm's reply to a question is worth by a metric of the experiment, or by `refusalMetric`. */
export type ScoreOf = (arm: string, question: Question, metric: string) => Outcome;

/** Scores the predictions of a run one by one; a question without one is ungraded. */
export function scorePredictions(predictions: Evaluation["predictions"]): ScoreOf {
  const byArm = new Map(
    [...predictions].map(([arm, ofArm]) => [
      arm,
      new Map(ofArm.map(({ questionId, outcome }) => [questionId, outcome])),
    ]),
  );
  return (arm, question, metric) =>
    scoreOutcome(metric, byArm.get(arm)?.get(question.id), question);
}

/** Every score of a run, in the form of its tables. Pure; a split of which nothing was asked is left out. */
export function scoreSplits(
  experiment: Experiment,
  questionsOf: EvaluatedQuestions,
  scoreOf: ScoreOf,
): readonly ScoredSplit[] {
  const { arms, metrics: metricNames, mainMetric } = experiment.evaluation;
  const allAnswerers = arms.map((arm) => ({
    splits: arm.splits,
    name: { system: arm.system, arm: arm.variant },
    scoreOf: (question: Question, metric: string) => scoreOf(arm.name, question, metric),
  }));
  const score = (
    from: readonly Answerer[],
    questions: readonly Question[],
    names: readonly string[],
  ) => from.flatMap((answerer) => recordsOf(answerer, questions, names, experiment.seed));

  return evaluatedSplits.flatMap((split): ScoredSplit[] => {
    const asked = questionsOf[split];
    const answerers = allAnswerers.filter(({ splits }) => splits.includes(split));
    const toRefuse = [
      ...asked.filter((question) => !question.answerable),
      ...(split === "test" ? questionsOf.adversarial : []),
    ];
    if (asked.length + toRefuse.length === 0) return [];
    const toAnswer = toRefuse.length === 0 ? [] : asked.filter((question) => question.answerable);
    const withRefuser = [...answerers, refuser];
    return [
      {
        split,
        records: score(answerers, asked, metricNames),
        toRefuse: score(withRefuser, toRefuse, [refusalMetric]),
        toAnswer: score(withRefuser, toAnswer, [refusalMetric, mainMetric]),
      },
    ];
  });
}

interface Answerer {
  readonly name: ArmName;
  readonly scoreOf: (question: Question, metric: string) => Outcome;
}

const refusal = "No information available";

/** What no memory is needed for, and what every score on unanswerable questions has to be read beside. */
const refuser: Answerer = {
  name: { system: "always refuse", arm: "" },
  scoreOf: (question, metric) => scoreText(metric, refusal, question),
};

function recordsOf(
  { name, scoreOf }: Answerer,
  questions: readonly Question[],
  metricNames: readonly string[],
  seed: number,
): PredictionRecord[] {
  return questions.map((question) => ({
    ...name,
    questionId: question.id,
    conversationId: question.conversationId,
    seed,
    categoryCode: question.category.code,
    categoryNames: question.category.names,
    hasCorruptGold: hasCorruptGold(question),
    outcomes: Object.fromEntries(metricNames.map((metric) => [metric, scoreOf(question, metric)])),
  }));
}

/** A failed call is ungraded; a reply without an answer in it is an empty answer, which every metric scores 0. */
function scoreOutcome(
  metric: string,
  outcome: Prediction["outcome"] | undefined,
  question: Question,
): Outcome {
  if (outcome === undefined) return ungraded("not answered");
  switch (outcome.status) {
    case "failed":
      return ungraded(outcome.reason);
    case "unparsable":
      return scoreText(metric, "", question);
    case "answered":
      return scoreText(metric, outcome.answer, question);
  }
}

function scoreText(metric: string, answer: string, question: Question): Outcome {
  // By the official rule of LoCoMo's category 5, which uses no gold.
  if (metric === refusalMetric) return graded(computeLocomoRefusal(answer));
  return scoreAnswer(knownName("metric", metric, metrics), answer, question);
}
