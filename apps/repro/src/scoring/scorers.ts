import {
  isMetricName,
  isRetrievalMetricName,
  type MetricName,
  metrics,
  type RetrievalMetric,
  type RetrievedItem,
  retrievalMetrics,
  scoreAnswer,
} from "@memory-r1/metrics";
import { type Outcome, ungraded } from "@memory-r1/spec";
import { knownName } from "../pipeline/known-name.ts";

/** What a line of predictions gives to a score; numbers are text by now, and what was null or missing is absent. */
export interface PredictionLine {
  readonly prediction: string | undefined;
  readonly answer: string | undefined;
  /** The data set's own code. */
  readonly category: string | undefined;
  /** Ids of what was retrieved, best first; an item that stems from several turns is the list of their ids. */
  readonly contextIds: readonly RetrievedItem[] | undefined;
  /** Ids of what should have been retrieved. */
  readonly evidence: readonly string[] | undefined;
}

export interface Scorer {
  readonly description: string;
  readonly source: string;
  /** What it compares: a prediction with an answer, or retrieved ids with evidence. */
  readonly compares: "answers" | "retrieval";
  score(line: PredictionLine): Outcome;
}

function answerScorer(name: MetricName): Scorer {
  const { description, source } = metrics[name];
  return {
    description,
    source,
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

function retrievalScorer({ description, source, score }: RetrievalMetric): Scorer {
  return {
    description,
    source,
    compares: "retrieval",
    score: ({ contextIds, evidence = [] }) =>
      contextIds === undefined
        ? ungraded("no contextIds")
        : score({ retrievedIds: contextIds, evidenceIds: evidence }),
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
    Object.keys(retrievalMetrics)
      .filter(isRetrievalMetricName)
      .map((name) => [name, retrievalScorer(retrievalMetrics[name])]),
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
