export * from "./full-context/full-context-system.ts";
export * from "./mem0/mem0-system.ts";
export * from "./no-memory/no-memory-system.ts";
export * from "./rag/rag-system.ts";
export * from "./rag/rag-windows-system.ts";
export * from "./registry.ts";
export { baselinePromptHashes } from "./shared/system-prompts.ts";
export * from "./system-options.ts";
