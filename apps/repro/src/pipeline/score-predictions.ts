import { computeLocomoF1, hasCorruptGold, metrics, scoreAnswer } from "@memory-r1/metrics";
import type { ArmName, PredictionRecord, TableColumn } from "@memory-r1/report";
import { graded, type Outcome, type Question, ungraded } from "@memory-r1/spec";
import { type EvaluatedSplit, evaluatedSplits, type Experiment } from "../experiment.ts";
import type { Prediction } from "./answer-questions.ts";
import type { Evaluation } from "./evaluate-arms.ts";
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

type AnswerOutcome = Prediction["outcome"];

/** Scores every prediction of a run. Pure; a split of which nothing was asked is left out. */
export function scorePredictions(
  experiment: Experiment,
  evaluation: Pick<Evaluation, "questions" | "predictions">,
): readonly ScoredSplit[] {
  const { arms, metrics: metricNames, mainMetric } = experiment.evaluation;
  const allAnswerers = arms.map((arm) => {
    const predictions = evaluation.predictions.get(arm.name) ?? [];
    const byId = new Map(predictions.map(({ questionId, outcome }) => [questionId, outcome]));
    return {
      splits: arm.splits,
      name: { system: arm.system, arm: arm.variant },
      outcomeOf: (id: string) => byId.get(id),
    };
  });
  const score = (
    from: readonly Answerer[],
    questions: readonly Question[],
    names: readonly string[],
  ) => from.flatMap((answerer) => recordsOf(answerer, questions, names, experiment.seed));

  return evaluatedSplits.flatMap((split): ScoredSplit[] => {
    const asked = evaluation.questions[split];
    const answerers = allAnswerers.filter(({ splits }) => splits.includes(split));
    const toRefuse = [
      ...asked.filter((question) => !question.answerable),
      ...(split === "test" ? evaluation.questions.adversarial : []),
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
  readonly outcomeOf: (questionId: string) => AnswerOutcome | undefined;
}

const refusal = "No information available";

/** What no memory is needed for, and what every score on unanswerable questions has to be read beside. */
const refuser: Answerer = {
  name: { system: "always refuse", arm: "" },
  outcomeOf: () => ({ status: "answered", answer: refusal, raw: refusal }),
};

function recordsOf(
  { name, outcomeOf }: Answerer,
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
    outcomes: Object.fromEntries(
      metricNames.map((metric) => [metric, scoreOutcome(metric, outcomeOf(question.id), question)]),
    ),
  }));
}

/** A failed call is ungraded; a reply without an answer in it is an empty answer, which every metric scores 0. */
function scoreOutcome(
  metric: string,
  outcome: AnswerOutcome | undefined,
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
  if (metric === refusalMetric) return graded(computeLocomoF1(answer, "", "5"));
  return scoreAnswer(knownName("metric", metric, metrics), answer, question);
}
