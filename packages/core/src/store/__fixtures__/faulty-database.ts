import type { SqlDatabase } from "../sql-dialect.ts";

/** Breaks before the statement with this number (from 0) of every transaction but the first, as a crash would. */
export function breakAtStatement(database: SqlDatabase, position: number): SqlDatabase {
  let isOpening = true;
  return {
    ...database,
    transaction: (work) => {
      if (isOpening) {
        isOpening = false;
        return database.transaction(work);
      }
      let count = 0;
      return database.transaction((query) =>
        work((statement, values) => {
          if (count++ === position) return Promise.reject(new Error("the power is gone"));
          return query(statement, values);
        }),
      );
    },
  };
}
