import { graded, ungraded, type Outcome, type Question } from "@memory-r1/spec";
import { computeLocomoF1 } from "./locomo-f1.ts";
import { computeMem0Bleu1, computeMem0F1 } from "./mem0.ts";
import { computeSquadEm, computeSquadSubEm, computeSquadF1 } from "./squad.ts";

/** What a prediction is compared with. `categoryCode` is the data set's own code, for metrics with category rules. */
export interface MetricReference {
  readonly gold: string;
  readonly categoryCode?: string;
}

/** Scores one prediction from 0 to 1. Pure, defined for every text, the empty one included. */
export type Metric = (prediction: string, reference: MetricReference) => number;

/**
 * Every answer metric by name. Three F1 scores are in use, and they differ:
 * - `locomo-f1`: the official LoCoMo score with its category rules; Porter-stemmed multisets without a/an/the/and.
 * - `mem0-f1`, `mem0-bleu1`: Mem0's evaluation script, the F1 and BLEU-1 of the Memory-R1 paper's tables.
 * - `squad-em`, `squad-sub-em`, `squad-f1`: SQuAD v1.1 normalisation; `squad-em` is the paper's reward and
 *   `squad-f1` the reward that still tells answers apart where a small model never matches exactly.
 */
export const metrics = {
  "locomo-f1": (prediction, { gold, categoryCode }) =>
    computeLocomoF1(prediction, gold, categoryCode),
  "mem0-f1": (prediction, { gold }) => computeMem0F1(prediction, gold),
  "mem0-bleu1": (prediction, { gold }) => computeMem0Bleu1(prediction, gold),
  "squad-em": (prediction, { gold }) => computeSquadEm(prediction, gold),
  "squad-sub-em": (prediction, { gold }) => computeSquadSubEm(prediction, gold),
  "squad-f1": (prediction, { gold }) => computeSquadF1(prediction, gold),
} as const satisfies Readonly<Record<string, Metric>>;

export type MetricName = keyof typeof metrics;

/** Type guard for names that come from a command line or a file. */
export function isMetricName(name: string): name is MetricName {
  return Object.hasOwn(metrics, name);
}

/** Scores the answer to a question; a question without gold is ungraded, whatever was answered. */
export function scoreAnswer(
  name: MetricName,
  prediction: string,
  question: Pick<Question, "gold" | "category">,
): Outcome {
  if (question.gold === undefined) return ungraded("no gold answer");
  return graded(
    metrics[name](prediction, { gold: question.gold, categoryCode: question.category.code }),
  );
}
