import type { QuestionCategory } from "@memory-r1/spec";

/**
 * LoCoMo's category codes under both naming schemes in use. `official` is the data set's own (paper and scorer);
 * `mem0` is that of Mem0's evaluation, which Memory-R1's tables follow. The names clash: say which scheme is meant.
 */
export const locomoCategories: readonly QuestionCategory[] = [
  { code: "1", names: { official: "multi-hop", mem0: "single-hop" } },
  { code: "2", names: { official: "temporal", mem0: "temporal" } },
  { code: "3", names: { official: "open-domain", mem0: "multi-hop" } },
  { code: "4", names: { official: "single-hop", mem0: "open-domain" } },
  { code: "5", names: { official: "adversarial", mem0: "adversarial" }, isAdversarial: true },
];
