export { describeEngineConformance } from "./conformance.ts";
export { connectSharedEngine, type SharedEngineConnection } from "./shared-engine.ts";
export { writeTinyReranker } from "./tiny-reranker.ts";
