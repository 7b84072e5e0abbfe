import type { ContextItem } from "@memory-r1/spec";

/** A memory with the number by which the agent names it. `date` is that of its last writing. */
export interface StoredMemory extends ContextItem {
  readonly id: number;
}

/** One speaker's memories, oldest first. Numbers are never given twice. */
export interface MemoryStore {
  readonly speaker: string;
  memories: readonly StoredMemory[];
  nextId: number;
}

export function createMemoryStore(speaker: string): MemoryStore {
  return { speaker, memories: [], nextId: 1 };
}

export function createMemory(store: MemoryStore, item: ContextItem): number {
  const id = store.nextId;
  store.memories = [...store.memories, { id, ...item }];
  store.nextId += 1;
  return id;
}

/** The memory then stems from the turns of both writings. False where there is no such memory. */
export function updateMemory(store: MemoryStore, id: number, item: ContextItem): boolean {
  const known = store.memories.find((memory) => memory.id === id);
  if (known === undefined) return false;
  const sourceTurnIds = [...new Set([...known.sourceTurnIds, ...item.sourceTurnIds])];
  store.memories = store.memories.map((memory) =>
    memory === known ? { id, ...item, sourceTurnIds } : memory,
  );
  return true;
}

/** False where there is no such memory. */
export function deleteMemory(store: MemoryStore, id: number): boolean {
  const left = store.memories.filter((memory) => memory.id !== id);
  if (left.length === store.memories.length) return false;
  store.memories = left;
  return true;
}
