import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import { parseJson } from "@memory-r1/spec";
import { z } from "zod";

/** One request as the server saw it. */
export interface SeenRequest {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: Readonly<Record<string, unknown>>;
}

/** An answer, or a connection that breaks, or silence. */
export type Reaction =
  | { readonly status: number; readonly body: unknown }
  | { readonly status: number; readonly html: string }
  | "break"
  | "hang";

export interface JsonServer {
  readonly url: string;
  readonly seen: readonly SeenRequest[];
  /** The most requests that were in work at one time. */
  readonly mostAtOnce: () => number;
  close(): Promise<void>;
}

function react(reaction: Reaction, response: ServerResponse): void {
  if (reaction === "hang") return;
  if (reaction === "break") {
    response.socket?.destroy();
    return;
  }
  response.statusCode = reaction.status;
  if ("html" in reaction) {
    response.setHeader("content-type", "text/html");
    response.end(reaction.html);
    return;
  }
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(reaction.body));
}

/** A model server on loopback, for tests, that asks `handle` what to do with each request. */
export async function startJsonServer(
  handle: (request: SeenRequest, index: number) => Reaction | Promise<Reaction>,
): Promise<JsonServer> {
  const seen: SeenRequest[] = [];
  let atOnce = 0;
  let mostAtOnce = 0;
  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const entry: SeenRequest = {
      path: request.url ?? "",
      authorization: request.headers.authorization,
      body: parseJson(await text(request), z.record(z.string(), z.unknown()), "request"),
    };
    seen.push(entry);
    atOnce += 1;
    mostAtOnce = Math.max(mostAtOnce, atOnce);
    try {
      react(await handle(entry, seen.length - 1), response);
    } finally {
      atOnce -= 1;
    }
  }
  const server = createServer((request, response) => {
    serve(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    seen,
    mostAtOnce: () => mostAtOnce,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The body of an OpenAI-shaped chat completion with one choice, as an answer. */
export function chatCompletion(text: string, finishReason = "stop"): Reaction {
  return {
    status: 200,
    body: {
      id: "1",
      created: 1,
      model: "m",
      usage: {},
      choices: [
        { index: 0, finish_reason: finishReason, message: { role: "assistant", content: text } },
      ],
    },
  };
}
