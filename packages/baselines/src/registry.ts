import type { MemorySystem } from "@memory-r1/spec";
import { createLangMemSystem } from "./langmem/langmem-system.ts";
import { createMemGptSystem } from "./memgpt/memgpt-system.ts";
import { policy2023, policy2024 } from "./memgpt/queue-policy.ts";
import { createRagSystem } from "./rag/rag-system.ts";
import type { SystemOptions } from "./system-options.ts";

/** Every system by name. To add one: a folder beside `rag`, and a line here; the contract suite then runs over it. */
export const baselines = {
  "rag-turns": (options) => createRagSystem({ ...options, unit: "turn" }),
  "rag-observations": (options) => createRagSystem({ ...options, unit: "observation" }),
  "memgpt-2023": (options) => createMemGptSystem({ ...options, policy: policy2023 }),
  "memgpt-2024": (options) => createMemGptSystem({ ...options, policy: policy2024 }),
  langmem: createLangMemSystem,
} as const satisfies Readonly<Record<string, (options: SystemOptions) => MemorySystem>>;

export type BaselineName = keyof typeof baselines;

export function createBaseline(name: BaselineName, options: SystemOptions): MemorySystem {
  return baselines[name](options);
}
