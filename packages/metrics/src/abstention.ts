import { graded, type Outcome, type Question } from "@memory-r1/spec";
import { computeLocomoRefusal } from "./locomo.ts";
import { type MetricName, scoreAnswer } from "./registry.ts";
import { type OutcomeSummary, summariseOutcomes } from "./statistics/summarise-outcomes.ts";

/** What a system that always refuses says: the first of the two phrases that LoCoMo's scorer knows. */
export const refusalReply = "No information available";

/** One answer of a set with questions that cannot be answered. */
export interface AbstentionItem {
  readonly answerable: boolean;
  readonly outcome: Outcome;
  /** What refusing would have scored on this question, 0 to 1. */
  readonly refusalScore: number;
}

/** A score, and what a system that refuses every question would get on the same graded questions. */
export interface AbstentionScore extends OutcomeSummary {
  /** Undefined where nothing was graded. */
  readonly alwaysRefusing: number | undefined;
}

export interface AbstentionSummary {
  readonly unanswerable: AbstentionScore;
  readonly answerable: AbstentionScore;
  readonly all: AbstentionScore;
}

/** Whether an answer to an unanswerable question refuses, by LoCoMo's rule (category 5). */
export function scoreRefusal(prediction: string): Outcome {
  return graded(computeLocomoRefusal(prediction));
}

/** An answer's item under an answer metric: unanswerable questions by LoCoMo's rule, answerable ones by the metric. */
export function scoreWithAbstention(
  metric: MetricName,
  prediction: string,
  question: Pick<Question, "gold" | "category" | "answerable">,
): AbstentionItem {
  if (!question.answerable) {
    return { answerable: false, outcome: scoreRefusal(prediction), refusalScore: 1 };
  }
  const refusal = scoreAnswer(metric, refusalReply, question);
  return {
    answerable: true,
    outcome: scoreAnswer(metric, prediction, question),
    refusalScore: refusal.status === "graded" ? refusal.score : 0,
  };
}

/** A judge's verdict as an item: by every judge's contract a refusal is wrong where an answer was to be had. */
export function judgedAbstentionItem(answerable: boolean, outcome: Outcome): AbstentionItem {
  return { answerable, outcome, refusalScore: answerable ? 0 : 1 };
}

/**
 * Scores on unanswerable and on answerable questions apart and together, each beside what always refusing would get:
 * a score on unanswerable questions alone is had for nothing.
 */
export function summariseAbstention(items: readonly AbstentionItem[]): AbstentionSummary {
  return {
    unanswerable: summarise(items.filter((item) => !item.answerable)),
    answerable: summarise(items.filter((item) => item.answerable)),
    all: summarise(items),
  };
}

function summarise(items: readonly AbstentionItem[]): AbstentionScore {
  const refusals = items.flatMap(({ outcome, refusalScore }) =>
    outcome.status === "graded" ? [graded(refusalScore)] : [],
  );
  return {
    ...summariseOutcomes(items.map((item) => item.outcome)),
    alwaysRefusing: summariseOutcomes(refusals).mean,
  };
}
