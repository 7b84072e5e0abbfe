export * from "./langmem/langmem-system.ts";
export * from "./memgpt/memgpt-system.ts";
export { policy2023, policy2024, type QueuePolicy } from "./memgpt/queue-policy.ts";
export * from "./rag/rag-system.ts";
export * from "./registry.ts";
export { baselinePromptHashes } from "./shared/system-prompts.ts";
export * from "./system-options.ts";
