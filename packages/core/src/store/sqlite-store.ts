import type { MemoryStore } from "./memory-store.ts";
import { createSqlStore } from "./sql-store.ts";
import { openSqlite, sqliteDialect, type SqliteStoreOptions } from "./sqlite-database.ts";

export type { SqliteStoreOptions } from "./sqlite-database.ts";

/**
 * A store in one SQLite file, by libSQL. Several processes may use one file: readers see whole batches, writers wait for
 * each other. Keep the file on a local disk, with the files `-wal` and `-shm` beside it while it is open.
 * @throws ConfigError where the file cannot be opened or is of a newer version.
 */
export async function createSqliteStore(options: SqliteStoreOptions): Promise<MemoryStore> {
  const database = await openSqlite(options);
  return createSqlStore(database, sqliteDialect(options.path));
}
