import {
  evidenceMissing,
  isMetricName,
  type MetricName,
  metrics,
  scoreAnswer,
} from "@memory-r1/metrics";
import { graded, type Outcome, ungraded } from "@memory-r1/spec";
import { type MetricFacts, metricFacts } from "../metric-facts.ts";
import { knownName } from "../pipeline/known-name.ts";

/** What a line of predictions gives to a score; numbers are text by now, and what was null or missing is absent. */
export interface PredictionLine {
  readonly prediction: string | undefined;
  readonly answer: string | undefined;
  /** The data set's own code. */
  readonly category: string | undefined;
  /** Ids of what was retrieved, best first, and of what should have been. */
  readonly contextIds: readonly string[] | undefined;
  readonly evidence: readonly string[] | undefined;
}

export interface Scorer extends MetricFacts {
  /** What it compares: a prediction with an answer, or retrieved ids with evidence. */
  readonly compares: "answers" | "retrieval";
  score(line: PredictionLine): Outcome;
}

function answerScorer(name: MetricName): Scorer {
  return {
    ...metricFacts(name),
    compares: "answers",
    score: ({ prediction, answer, category = "" }) =>
      prediction === undefined
        ? ungraded("no prediction")
        : scoreAnswer(name, prediction, {
            ...(answer === undefined ? {} : { gold: answer }),
            category: { code: category, names: {} },
          }),
  };
}

/** Scores retrieved ids against the ids of the evidence, of which there is at least one. */
type RetrievalMetric = MetricFacts & {
  readonly score: (contextIds: readonly string[], evidence: readonly string[]) => number;
};

const retrievalMetrics = {
  "evidence-recall": {
    description: "share of the evidence that is among what was retrieved",
    source: "snap-research/locomo task_eval/evaluation.py, for turn ids",
    score: (contextIds, evidence) => 1 - (evidenceMissing([evidence], contextIds) ?? 0),
  },
} as const satisfies Readonly<Record<string, RetrievalMetric>>;

function retrievalScorer({ description, source, score }: RetrievalMetric): Scorer {
  return {
    description,
    source,
    compares: "retrieval",
    score: ({ contextIds, evidence }) => {
      if (contextIds === undefined) return ungraded("no contextIds");
      if (evidence === undefined || evidence.length === 0) return ungraded("no evidence");
      return graded(score(contextIds, evidence));
    },
  };
}

/** Everything that `repro score` knows by name. */
export const scorers: Readonly<Record<string, Scorer>> = {
  ...Object.fromEntries(
    Object.keys(metrics)
      .filter(isMetricName)
      .map((name) => [name, answerScorer(name)]),
  ),
  ...Object.fromEntries(
    Object.entries(retrievalMetrics).map(([name, metric]) => [name, retrievalScorer(metric)]),
  ),
};

/** The scorers of some names, each once. @throws ConfigError for a name that there is not */
export function chooseScorers(names: readonly string[]): ReadonlyMap<string, Scorer> {
  const chosen = new Map<string, Scorer>();
  for (const name of names) {
    const scorer = scorers[knownName("metric", name, scorers)];
    if (scorer !== undefined) chosen.set(name, scorer);
  }
  return chosen;
}
