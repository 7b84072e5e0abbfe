import type { QuestionCategory } from "@memory-r1/spec";

/**
 * LoCoMo's category codes under the naming schemes in use. The names clash: say which scheme is meant.
 * - `official`: the data set's own, of its paper and its scorer.
 * - `mem0`: Mem0's evaluation, which Memory-R1's tables follow.
 * - `memorybench`: supermemoryai/memorybench at 25729a7; wrong by the data set's scorer, but numbers are published
 *   under it.
 */
export const locomoCategories: readonly QuestionCategory[] = [
  { code: "1", names: { official: "multi-hop", mem0: "single-hop", memorybench: "single-hop" } },
  { code: "2", names: { official: "temporal", mem0: "temporal", memorybench: "multi-hop" } },
  { code: "3", names: { official: "open-domain", mem0: "multi-hop", memorybench: "temporal" } },
  {
    code: "4",
    names: { official: "single-hop", mem0: "open-domain", memorybench: "world-knowledge" },
  },
  {
    code: "5",
    names: { official: "adversarial", mem0: "adversarial", memorybench: "adversarial" },
  },
];

/** Code of the questions whose premise is wrong: scored apart, without gold. */
export const adversarialCategoryCode = "5";
