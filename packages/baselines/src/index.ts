export * from "./rag/rag-system.ts";
export * from "./registry.ts";
