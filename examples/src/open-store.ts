import { createInMemoryStore, type MemoryStore } from "@memory-r1/core";
import { createSqliteStore } from "@memory-r1/core/sqlite";

/** The store in that file, made where it is missing; without a path one that is gone when the program ends. */
export function openStore(path: string | undefined): Promise<MemoryStore> {
  return path === undefined ? Promise.resolve(createInMemoryStore()) : createSqliteStore({ path });
}
