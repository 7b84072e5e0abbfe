export type { CallStatistics, InferenceTarget } from "./call.ts";
export * from "./inference-embedding.ts";
export * from "./inference-generator.ts";
export * from "./inference-reranker.ts";
