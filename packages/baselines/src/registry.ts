import type { MemorySystem } from "@memory-r1/spec";
import { createFullContextSystem } from "./full-context/full-context-system.ts";
import { createMem0System } from "./mem0/mem0-system.ts";
import { createMem0NpmSystem } from "./mem0-npm/mem0-npm-system.ts";
import { createNoMemorySystem } from "./no-memory/no-memory-system.ts";
import { createLangMemSystem } from "./langmem/langmem-system.ts";
import { createMemGptSystem } from "./memgpt/memgpt-system.ts";
import { policy2023, policy2024 } from "./memgpt/queue-policy.ts";
import { createAMemSystem } from "./a-mem/a-mem-system.ts";
import { createMemoryOsSystem } from "./memory-os/memory-os-system.ts";
import { createRagSystem } from "./rag/rag-system.ts";
import { createRagWindowsSystem, type windowSizes } from "./rag/rag-windows-system.ts";
import type { SystemOptions } from "./system-options.ts";

/** Every system by name. To add one: docs/adding-a-system.md; the contract suite then runs over it. */
export const baselines = {
  "no-memory": createNoMemorySystem,
  "full-context": createFullContextSystem,
  "rag-turns": (options) => createRagSystem({ ...options, unit: "turn" }),
  "rag-observations": (options) => createRagSystem({ ...options, unit: "observation" }),
  "rag-sessions": (options) => createRagSystem({ ...options, unit: "session" }),
  "rag-windows-128-k1": ragWindows(128, 1),
  "rag-windows-128-k2": ragWindows(128, 2),
  "rag-windows-256-k1": ragWindows(256, 1),
  "rag-windows-256-k2": ragWindows(256, 2),
  "rag-windows-512-k1": ragWindows(512, 1),
  "rag-windows-512-k2": ragWindows(512, 2),
  "rag-windows-1024-k1": ragWindows(1024, 1),
  "rag-windows-1024-k2": ragWindows(1024, 2),
  "rag-windows-2048-k1": ragWindows(2048, 1),
  "rag-windows-2048-k2": ragWindows(2048, 2),
  "rag-windows-4096-k1": ragWindows(4096, 1),
  "rag-windows-4096-k2": ragWindows(4096, 2),
  "rag-windows-8192-k1": ragWindows(8192, 1),
  "rag-windows-8192-k2": ragWindows(8192, 2),
  mem0: createMem0System,
  "mem0-npm": createMem0NpmSystem,
  "memgpt-2023": (options) => createMemGptSystem({ ...options, policy: policy2023 }),
  "memgpt-2024": (options) => createMemGptSystem({ ...options, policy: policy2024 }),
  langmem: createLangMemSystem,
  "a-mem": createAMemSystem,
  "memory-os": createMemoryOsSystem,
} as const satisfies Readonly<Record<string, (options: SystemOptions) => MemorySystem>>;

export type BaselineName = keyof typeof baselines;

export function createBaseline(name: BaselineName, options: SystemOptions): MemorySystem {
  return baselines[name](options);
}

function ragWindows(
  size: (typeof windowSizes)[number],
  windows: 1 | 2,
): (options: SystemOptions) => MemorySystem {
  return (options) => createRagWindowsSystem({ ...options, size, windows });
}
