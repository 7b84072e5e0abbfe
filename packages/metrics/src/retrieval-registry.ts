import { graded, ungraded, type Outcome } from "@memory-r1/spec";
import {
  computeEvidencePrecision,
  computeEvidenceRecall,
  computeLocomoRecall,
  computeLongmemevalNdcg,
  type RetrievedItem,
} from "./retrieval.ts";

/** What was retrieved for a question, and what should have been. */
export interface RetrievalReference {
  /** Best first. A memory that stems from several turns is the list of their ids. */
  readonly retrievedIds: readonly RetrievedItem[];
  readonly evidenceIds: readonly string[];
}

/** One definition of how a retrieval is scored. */
export interface RetrievalMetric {
  /** From 0 to 1. Ungraded where the definition has no value: always without evidence. */
  readonly score: (reference: RetrievalReference) => Outcome;
  /** One line for a list. */
  readonly description: string;
  /** Where the definition stands, with its revision. */
  readonly source: string;
}

const noEvidence = ungraded("no evidence ids");

/** A score that is undefined only for want of evidence. */
function gradedOrNoEvidence(score: number | undefined): Outcome {
  return score === undefined ? noEvidence : graded(score);
}

const longmemeval = "xiaowu0162/LongMemEval src/retrieval/eval_utils.py at 9e0b455";

/** Every retrieval metric by name. They score everything that was retrieved: for a score at k, give the first k. */
export const retrievalMetrics = {
  "evidence-recall": {
    score: ({ retrievedIds, evidenceIds }) =>
      gradedOrNoEvidence(computeEvidenceRecall(retrievedIds, evidenceIds)),
    description: "share of the evidence ids that some retrieved item stems from",
    source: "this project, for memories with provenance",
  },
  "evidence-precision": {
    score: ({ retrievedIds, evidenceIds }) => {
      if (evidenceIds.length > 0 && retrievedIds.length === 0) return ungraded("nothing retrieved");
      return gradedOrNoEvidence(computeEvidencePrecision(retrievedIds, evidenceIds));
    },
    description: "share of the retrieved items that stem from evidence",
    source: "this project, for memories with provenance",
  },
  "locomo-recall": {
    score: ({ retrievedIds, evidenceIds }) =>
      gradedOrNoEvidence(computeLocomoRecall(retrievedIds.flat(), evidenceIds)),
    description: "official LoCoMo recall: evidence ids given twice count twice, sessions by number",
    source: "snap-research/locomo task_eval/evaluation.py at cbfbc1d",
  },
  "longmemeval-recall-any": {
    score: ({ retrievedIds, evidenceIds }) => {
      const recall = computeEvidenceRecall(retrievedIds, evidenceIds);
      return gradedOrNoEvidence(recall === undefined ? undefined : Number(recall > 0));
    },
    description: "1 where any evidence was retrieved",
    source: longmemeval,
  },
  "longmemeval-recall-all": {
    score: ({ retrievedIds, evidenceIds }) => {
      const recall = computeEvidenceRecall(retrievedIds, evidenceIds);
      return gradedOrNoEvidence(recall === undefined ? undefined : Number(recall === 1));
    },
    description: "1 where all evidence was retrieved",
    source: longmemeval,
  },
  "longmemeval-ndcg": {
    score: ({ retrievedIds, evidenceIds }) =>
      gradedOrNoEvidence(computeLongmemevalNdcg(retrievedIds, evidenceIds)),
    description: "ndcg with LongMemEval's gains: ranks 1 and 2 count fully, rank i 1 / log2(i)",
    source: longmemeval,
  },
} as const satisfies Readonly<Record<string, RetrievalMetric>>;

export type RetrievalMetricName = keyof typeof retrievalMetrics;

/** Type guard for names that come from a command line or a file. */
export function isRetrievalMetricName(name: string): name is RetrievalMetricName {
  return Object.hasOwn(retrievalMetrics, name);
}
