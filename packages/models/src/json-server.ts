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

/**
 * An answer, or a connection that breaks, or silence. `text` is sent as it is, under `application/json` unless another
 * type is said; `events` are the data of server-sent events, after which the answer ends, breaks off or hangs.
 */
export type Reaction =
  | {
      readonly status: number;
      readonly body: unknown;
      readonly headers?: Readonly<Record<string, string>>;
    }
  | { readonly status: number; readonly text: string; readonly contentType?: string }
  | { readonly events: readonly string[]; readonly afterwards?: "end" | "break" | "hang" }
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
  if ("events" in reaction) {
    response.setHeader("content-type", "text/event-stream");
    for (const event of reaction.events) response.write(`data: ${event}\n\n`);
    // A break that leaves no time for what was written would be a break before it.
    if (reaction.afterwards === "break") response.write("", () => response.destroy());
    else if (reaction.afterwards !== "hang") response.end();
    return;
  }
  response.statusCode = reaction.status;
  if ("text" in reaction) {
    response.setHeader("content-type", reaction.contentType ?? "application/json");
    response.end(reaction.text);
    return;
  }
  for (const [name, value] of Object.entries(reaction.headers ?? {}))
    response.setHeader(name, value);
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

/** The same as server-sent events: each piece of the text in a chunk of its own, then why it ended; null: it did not. */
export function chatCompletionEvents(
  pieces: readonly string[],
  finishReason: string | null = "stop",
): readonly string[] {
  const chunk = (delta: object, reason: string | null): string =>
    JSON.stringify({
      id: "1",
      object: "chat.completion.chunk",
      created: 1,
      model: "m",
      choices: [{ index: 0, delta, finish_reason: reason }],
    });
  return [
    ...pieces.map((content) => chunk({ role: "assistant", content }, null)),
    ...(finishReason === null ? [] : [chunk({}, finishReason), "[DONE]"]),
  ];
}
