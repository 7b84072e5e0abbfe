export * from "./answer/answer-agent.ts";
export { answerVariants, type AnswerVariantName } from "./answer/variants/registry.ts";
export * from "./bank/apply-operations.ts";
export { parseJournal, replayJournal, serializeJournal } from "./bank/journal.ts";
export * from "./bank/memory-bank.ts";
export * from "./environments/answer-environment.ts";
export * from "./environments/answering.ts";
export type { CompressionOptions } from "./environments/compression.ts";
export { type CurriculumOptions, evidenceMissingMetric } from "./environments/curriculum.ts";
export * from "./environments/grading.ts";
export * from "./environments/manager-environment.ts";
export * from "./environments/manager-episode.ts";
export type {
  LocalRerolls,
  ManagerTask,
  ManagerTaskOptions,
} from "./environments/manager-tasks.ts";
export * from "./environments/turns-as-facts.ts";
export type { FactToDecide, ParsedOperations } from "./manager/formats/manager-format.ts";
export { type ManagerFormatName, managerFormats } from "./manager/formats/registry.ts";
export * from "./manager/manager-agent.ts";
export * from "./manager/memory-manager.ts";
export * from "./memory/draw-history.ts";
export * from "./memory/memory-r1.ts";
export { promptHashes, type PromptName } from "./prompts/prompts.ts";
export * from "./retrieval/bm25-retriever.ts";
export * from "./retrieval/dense-retriever.ts";
export { createDateReader, readIsoDateTime, type ReadDateTime } from "./retrieval/entry-dates.ts";
export * from "./retrieval/hybrid-retriever.ts";
export * from "./retrieval/recency-retriever.ts";
export * from "./retrieval/registry.ts";
export * from "./retrieval/reranking-retriever.ts";
export * from "./retrieval/retriever.ts";
export * from "./retrieval/time-filter.ts";
export * from "./retrieval/top-by-score.ts";
export * from "./retrieval/top-memories.ts";
export * from "./store/bank-lines.ts";
export * from "./store/change-bank.ts";
export { createInMemoryStore } from "./store/in-memory-store.ts";
export * from "./store/memory-store.ts";
export * from "./store/replay-bank.ts";
export * from "./system/memory-r1-system.ts";
