import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { parseJson } from "@memory-r1/spec";
import { z } from "zod";

/** One request as the fake engine saw it. */
export interface SeenRequest {
  /** Without `/api/v1`. */
  readonly path: string;
  readonly body: Readonly<Record<string, unknown>>;
  readonly authorization: string | undefined;
}

/** What the fake engine does with a request: answer, break the connection, or stay silent. */
export type Reaction =
  | { readonly status: number; readonly body: unknown }
  | { readonly rawText: string }
  | "break"
  | "hang";

export interface FakeEngine {
  readonly baseUrl: string;
  readonly seen: readonly SeenRequest[];
  close(): Promise<void>;
}

const bodySchema = z.record(z.string(), z.unknown());

function react(reaction: Reaction, response: ServerResponse): void {
  if (reaction === "hang") return;
  if (reaction === "break") {
    response.socket?.destroy();
    return;
  }
  response.setHeader("content-type", "application/json");
  if ("rawText" in reaction) {
    response.end(reaction.rawText);
    return;
  }
  response.statusCode = reaction.status;
  response.end(JSON.stringify(reaction.body));
}

/** An HTTP server on loopback that asks `handle` what to do with each request. */
export async function startFakeEngine(
  handle: (request: SeenRequest, index: number) => Reaction | Promise<Reaction>,
): Promise<FakeEngine> {
  const seen: SeenRequest[] = [];
  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const sent = await text(request);
    const entry: SeenRequest = {
      path: (request.url ?? "").replace("/api/v1", ""),
      body: sent === "" ? {} : parseJson(sent, bodySchema, "request"),
      authorization: request.headers.authorization,
    };
    seen.push(entry);
    react(await handle(entry, seen.length - 1), response);
  }
  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return {
    baseUrl: `http://127.0.0.1:${address.port}`,
    seen,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A table of futures for handlers: submitted work gets an id, its result is handed out later. */
export function createFutures(): {
  submit(result: Reaction): Reaction;
  retrieve(request: SeenRequest): Reaction;
} {
  const results: Reaction[] = [];
  return {
    submit(result) {
      results.push(result);
      return { status: 200, body: { request_id: String(results.length - 1) } };
    },
    retrieve(request) {
      return (
        results[Number(request.body.request_id)] ?? {
          status: 404,
          body: { detail: "no such future" },
        }
      );
    },
  };
}
