import type { TableData } from "@memory-r1/report";
import type { Arm, Experiment } from "../../experiment.ts";
import type { Evaluation } from "../evaluate-arms.ts";
import { memoryName, memoryOf, readingArms } from "./arm-memory.ts";
import type { PlayedQuestion } from "./play-systems.ts";

/**
 * How often each memory of the comparison did what, over all conversations: a row for each operation. What could not be
 * read at question time is counted apart, for memories that were asked to answer by themselves. Pure.
 */
export function operationsTable(
  experiment: Experiment,
  evaluation: Pick<Evaluation, "systems" | "banks" | "conversations">,
): TableData {
  const rows: { memory: string; kind: string; operation: string; count: number }[] = [];
  const seen = new Set<string>();
  for (const arm of readingArms(experiment.evaluation.arms)) {
    const memory = memoryName(arm);
    if (seen.has(memory)) continue;
    seen.add(memory);
    const operations = new Map<string, number>();
    let [unparsable, rejected] = [0, 0];
    for (const conversation of evaluation.conversations) {
      const counts = memoryOf(arm, conversation, evaluation)?.counts;
      if (counts === undefined) continue;
      for (const [name, count] of Object.entries(counts.operations)) {
        operations.set(name, (operations.get(name) ?? 0) + count);
      }
      unparsable += counts.unparsable;
      rejected += counts.rejected;
    }
    for (const [operation, count] of operations) {
      rows.push({ memory, kind: "applied", operation, count });
    }
    rows.push({ memory, kind: "unparsable", operation: "", count: unparsable });
    rows.push({ memory, kind: "rejected", operation: "", count: rejected });
    const answered = ownAnswers(arm, evaluation);
    if (answered.length === 0) continue;
    rows.push({
      memory,
      kind: "unparsable when asked",
      operation: "",
      count: answered.reduce((sum, { unparsableReplies = 0 }) => sum + unparsableReplies, 0),
    });
    rows.push({
      memory,
      kind: "unparsable answer",
      operation: "",
      count: answered.filter(({ answer }) => answer?.outcome.status === "unparsable").length,
    });
  }
  return {
    title: "Operations",
    columns: [
      { key: "memory", label: "Memory", kind: "text" },
      { key: "kind", label: "Outcome", kind: "text" },
      { key: "operation", label: "Operation", kind: "text" },
      { key: "count", label: "Count", kind: "count" },
    ],
    rows,
    notes: [
      "While turns were told, under each system's own names. Unparsable: replies that could not be read. Rejected: operations that could not be applied. Neither changed the memory.",
      "When asked: replies that could not be read while a system answered by itself, on the way to an answer or not. Unparsable answer: questions for which there was none in the end; it scores as an empty one. No rows where the Answer Agent answers: its unparsable answers are in the fairness sheet.",
    ],
  };
}

/** The questions that the arm's memory answered by itself, or tried to; one whose call failed is none of them. */
function ownAnswers(
  { memory }: Arm,
  { systems, conversations }: Pick<Evaluation, "systems" | "conversations">,
): readonly PlayedQuestion[] {
  if (memory.kind !== "baseline") return [];
  const played = systems.get(memory.baseline);
  return conversations
    .flatMap(({ id }) => [...(played?.get(id)?.questions.values() ?? [])])
    .filter(({ answer }) => answer !== undefined && answer.outcome.status !== "failed");
}
