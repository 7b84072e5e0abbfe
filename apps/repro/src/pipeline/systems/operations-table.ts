import type { TableData } from "@memory-r1/report";
import type { Experiment } from "../../experiment.ts";
import type { Evaluation } from "../evaluate-arms.ts";
import { memoryName, memoryOf, readingArms } from "./arm-memory.ts";

/** How often each memory of the comparison did what, over all conversations: a row for each operation. Pure. */
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
    ],
  };
}
