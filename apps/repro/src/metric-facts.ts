import { metrics, type MetricName } from "@memory-r1/metrics";
import { knownName } from "./pipeline/known-name.ts";

export interface MetricFacts {
  /** One line. */
  readonly description: string;
  /** Who defined it, and where. */
  readonly source: string;
}

const facts = {
  "locomo-f1": {
    description: "official LoCoMo score: category rules, F1 of Porter-stemmed tokens",
    source: "snap-research/locomo task_eval/evaluation.py",
  },
  "mem0-f1": {
    description: "F1 of token sets, no stemming: the F1 of Mem0's and Memory-R1's tables",
    source: "mem0ai/mem0 evaluation/metrics/utils.py at 9315e303~1",
  },
  "mem0-bleu1": {
    description: "BLEU-1 with brevity penalty: the B1 of Mem0's and Memory-R1's tables",
    source: "mem0ai/mem0 evaluation/metrics/utils.py at 9315e303~1",
  },
  "squad-em": {
    description: "equality after SQuAD normalisation: the paper's reward",
    source: "SQuAD evaluate-v1.1.py",
  },
  "squad-sub-em": {
    description: "gold contained in the prediction after SQuAD normalisation",
    source: "SQuAD evaluate-v1.1.py",
  },
  "squad-f1": {
    description: "F1 of token multisets after SQuAD normalisation, no stemming",
    source: "SQuAD evaluate-v1.1.py",
  },
} as const satisfies Readonly<Record<MetricName, MetricFacts>>;

/** What every answer metric is. */
export function metricFacts(name: MetricName): MetricFacts {
  return facts[name];
}

/** A sentence for a table's notes. @throws ConfigError for a name that is no metric's */
export function describeMetric(name: string): string {
  const { description, source } = metricFacts(knownName("metric", name, metrics));
  return `${name}: ${description} (${source}).`;
}
