import type { MemorySystem } from "@memory-r1/spec";

/** Keeps nothing and shows nothing: what the chat model answers to the question alone. */
export function createNoMemorySystem(): MemorySystem {
  return {
    name: "no-memory",
    open: () =>
      Promise.resolve({
        ingest: () => Promise.resolve(),
        context: () => Promise.resolve([]),
        stored: () => Promise.resolve([]),
        counts: () => ({ operations: {}, unparsable: 0, rejected: 0 }),
      }),
  };
}
