export * from "./rag/rag-system.ts";
export * from "./registry.ts";
export { baselinePromptHashes } from "./shared/system-prompts.ts";
export * from "./system-options.ts";
