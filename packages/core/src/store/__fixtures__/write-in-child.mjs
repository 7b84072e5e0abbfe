// A process of its own that writes to a store: `node write-in-child.mjs <file> <writer> <count> [crash]`. With `crash`
// it dies by SIGKILL inside the transaction of its last append, after the entries and before the journal.
import { fileURLToPath } from "node:url";
import { createViteServer } from "vitest/node";

const [path, writer, count, crash] = process.argv.slice(2);
const server = await createViteServer({
  root: fileURLToPath(new URL("../../..", import.meta.url)),
  configFile: false,
  logLevel: "error",
  server: { middlewareMode: true, ws: false, watch: null },
  optimizeDeps: { noDiscovery: true },
  ssr: { resolve: { conditions: ["source"] } },
});
const { openSqlite, sqliteDialect } = await server.ssrLoadModule("/src/store/sqlite-database.ts");
const { createSqlStore } = await server.ssrLoadModule("/src/store/sql-store.ts");
const { changeBank } = await server.ssrLoadModule("/src/store/change-bank.ts");

let isLast = false;
const database = await openSqlite({ path });
const store = await createSqlStore(
  {
    ...database,
    transaction: (work) =>
      database.transaction((query) =>
        work((statement, values) => {
          if (isLast && crash === "crash" && statement.includes("INSERT INTO memory_journal")) {
            process.kill(process.pid, "SIGKILL");
          }
          return query(statement, values);
        }),
      ),
  },
  sqliteDialect(path),
);
for (let index = 0; index < Number(count); index++) {
  isLast = index === Number(count) - 1;
  await changeBank(
    store,
    "shared",
    (bank) =>
      bank.apply(
        { kind: "ADD", text: `${writer}: ${index}` },
        { actor: writer, participant: "Mia", sourceTurnIds: [], date: "1 May 2024" },
      ),
    { now: () => "2024-05-01T09:00:00.000Z", retryCount: 1000 },
  );
}
await store.close();
await server.close();
