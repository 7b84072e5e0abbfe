import { PGlite } from "@electric-sql/pglite";
import { vector } from "@electric-sql/pglite-pgvector";
import { PGLiteSocketServer } from "@electric-sql/pglite-socket";
import { ConfigError, StoreError } from "@memory-r1/spec";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeMemoryStore, exampleSource } from "../testing/memory-store-contract.ts";
import { createPostgresStore } from "./postgres-store.ts";

// A server of one's own with pgvector; schemas named memory_r1_test_… are made in it and dropped again.
// oxlint-disable-next-line node/no-process-env
const realServer = process.env["MEMORY_R1_TEST_POSTGRES"];

let count = 0;
const newSchema = (): string => `memory_r1_test_${process.pid}_${count++}`;

describe("on PGlite", () => {
  let server: PGLiteSocketServer;
  let database: PGlite;
  let connectionString: string;

  beforeAll(async () => {
    database = await PGlite.create({ extensions: { vector } });
    server = new PGLiteSocketServer({ db: database, port: 0, maxConnections: 20 });
    await server.start();
    connectionString = `postgres://postgres:postgres@${server.getServerConn()}/postgres?sslmode=disable`;
  });
  afterAll(async () => {
    await server.stop();
    await database.close();
  });

  describeMemoryStore(
    "the PostgreSQL store",
    () => {
      const schema = newSchema();
      return { open: () => createPostgresStore({ connectionString, schema }) };
    },
    { isDurable: true },
  );

  it("refuses tables of a newer version", async () => {
    const schema = newSchema();
    await (await createPostgresStore({ connectionString, schema })).close();
    await database.exec(`UPDATE ${schema}.memory_schema SET version = 2`);
    await expect(createPostgresStore({ connectionString, schema })).rejects.toThrow(
      /newer version .* version 2, this program knows 1/,
    );
  });

  it("leaves nothing of a batch whose connection breaks before it is committed", async () => {
    const schema = newSchema();
    const store = await createPostgresStore({ connectionString, schema });
    const append = (text: string) =>
      store.append("a", {
        expectedVersion: 0,
        operations: [
          {
            operation: { kind: "ADD", text },
            source: exampleSource,
            at: "2024-05-01T09:00:00.000Z",
          },
        ],
      });
    // The journal's INSERT comes after the entry's, and fails.
    await database.exec(`ALTER TABLE ${schema}.memory_journal ADD CONSTRAINT broken CHECK (false)`);
    await expect(append("half")).rejects.toThrow(/failed: .*broken.*not stored/);
    expect(await store.read("a")).toEqual({ version: 0, nextId: 0, entries: [] });
    await database.exec(`ALTER TABLE ${schema}.memory_journal DROP CONSTRAINT broken`);
    expect(await append("whole")).toMatchObject([{ createdId: "0" }]);
    await store.close();
  });
});

describe.skipIf(realServer === undefined)(
  "on a server (skipped unless MEMORY_R1_TEST_POSTGRES holds a connection string)",
  () => {
    const connectionString = realServer ?? "";
    const schemas: string[] = [];
    afterAll(async () => {
      const client = new pg.Client({ connectionString });
      await client.connect();
      for (const schema of schemas) await client.query(`DROP SCHEMA IF EXISTS ${schema} CASCADE`);
      await client.end();
    });

    describeMemoryStore(
      "the PostgreSQL store",
      () => {
        const schema = newSchema();
        schemas.push(schema);
        return { open: () => createPostgresStore({ connectionString, schema }) };
      },
      { isDurable: true },
    );
  },
);

describe("the PostgreSQL store", () => {
  it("says what failed where no server answers", async () => {
    const connectionString = "postgres://postgres@127.0.0.1:1/postgres";
    const opened = createPostgresStore({ connectionString });
    await expect(opened).rejects.toThrow(StoreError);
    await expect(opened).rejects.toThrow(/ECONNREFUSED/);
  });

  it.each(["", "Memory", "a; DROP TABLE b", "1a"])("refuses the schema %j", async (schema) => {
    const opened = createPostgresStore({ connectionString: "postgres://127.0.0.1:1/x", schema });
    await expect(opened).rejects.toThrow(ConfigError);
  });
});
