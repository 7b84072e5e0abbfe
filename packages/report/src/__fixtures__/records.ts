import { graded, type Outcome, ungraded } from "@memory-r1/spec";
import type { PredictionRecord } from "../prediction-record.ts";

const categoryNames: Record<string, Record<string, string>> = {
  "1": { official: "multi-hop", mem0: "single-hop" },
  "4": { official: "single-hop", mem0: "open-domain" },
};

export function recordOf(
  system: string,
  questionId: string,
  categoryCode: string,
  f1: Outcome,
  em: Outcome,
): PredictionRecord {
  return {
    system,
    arm: "",
    questionId,
    conversationId: questionId === "a" ? "x" : "y",
    categoryCode,
    categoryNames: categoryNames[categoryCode] ?? {},
    outcomes: { f1, em },
  };
}

export const noGold = ungraded("no gold answer");

/** Means by hand: RAG 1: (0.5+0.25)/2 = 0.375, 4: 1, all: 1.75/3 = 0.58333; GRPO 1: 0.75, 4: none graded, all: 0.75. */
export const records: readonly PredictionRecord[] = [
  recordOf("RAG", "a", "4", graded(1), graded(1)),
  recordOf("RAG", "b", "1", graded(0.5), graded(0)),
  recordOf("RAG", "c", "1", graded(0.25), graded(0)),
  recordOf("GRPO", "a", "4", noGold, noGold),
  recordOf("GRPO", "b", "1", graded(0.75), graded(1)),
  recordOf("GRPO", "c", "1", graded(0.75), graded(0)),
];
