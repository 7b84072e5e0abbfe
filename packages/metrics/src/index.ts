export * from "./abstention.ts";
export * from "./bleu.ts";
export * from "./evidence.ts";
export * from "./fact-survival.ts";
export * from "./judges/agreement.ts";
export * from "./judges/judge.ts";
export { isLongMemEvalType, type LongMemEvalType } from "./judges/longmemeval-template.ts";
export * from "./judges/planted-answers.ts";
export { judgePromptHashes } from "./judges/prompts.ts";
export { type JudgeName, judges } from "./judges/registry.ts";
export {
  computeLocomoF1,
  computeLocomoRefusal,
  computeLocomoSetEm,
  computeMultiAnswerF1,
  computeStemmedF1,
  normaliseLocomoAnswer,
} from "./locomo.ts";
export { computeMem0Bleu, computeMem0Em, computeMem0F1 } from "./mem0.ts";
export { computeMemoryosF1 } from "./memoryos.ts";
export { computePorterStem } from "./porter-stemmer.ts";
export * from "./registry.ts";
export * from "./retrieval.ts";
export * from "./retrieval-registry.ts";
export { computeRouge, type RougeKind } from "./rouge.ts";
export { sentenceAbbreviations, splitSentences } from "./sentence-splitter.ts";
export {
  computeSquad2F1,
  computeSquadEm,
  computeSquadF1,
  computeSquadSubEm,
  normaliseSquadAnswer,
} from "./squad.ts";
export * from "./score-ceiling.ts";
export * from "./statistics/bootstrap.ts";
export * from "./statistics/closed-form-intervals.ts";
export * from "./statistics/cluster-bootstrap.ts";
export type { BootstrapOptions, Interval } from "./statistics/resample.ts";
export { type OutcomeSummary, summariseOutcomes } from "./statistics/summarise-outcomes.ts";
export * from "./statistics/summarise-seeds.ts";
export type { OverlapScore } from "./token-overlap.ts";
export { tokeniseSentence } from "./word-tokenizer.ts";
