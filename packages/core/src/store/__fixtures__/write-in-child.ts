import { changeBank } from "../change-bank.ts";
import { createSqlStore } from "../sql-store.ts";
import { openSqlite, sqliteDialect } from "../sqlite-database.ts";

// Words: file, writer, count and perhaps `crash`, with which the process dies by SIGKILL inside the transaction of its
// last append, after the entries and before the journal.
const [path = "", writer = "", count = "", crash] = process.argv.slice(3);

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
