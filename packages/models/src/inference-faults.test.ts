import { type GenerateRequest, parseJson } from "@memory-r1/spec";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import {
  createInferenceGenerator,
  type InferenceGeneratorOptions,
  type TextPiece,
} from "./inference-generator.ts";
import {
  chatCompletion,
  chatCompletionEvents,
  type JsonServer,
  type Reaction,
  type SeenRequest,
  startJsonServer,
} from "./json-server.ts";

// Every row of the table of faults in docs/models.md, against a server that has them.

const request = (content = "x", more: Partial<GenerateRequest> = {}): GenerateRequest => ({
  messages: [{ role: "user", content }],
  maxTokens: 8,
  temperature: 0,
  seed: 3,
  ...more,
});

let server: JsonServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

/** Reacts in turn, and with the last reaction from then on. */
async function start(
  reactions: readonly Reaction[] | ((request: SeenRequest, index: number) => Reaction),
  more: Partial<InferenceGeneratorOptions> = {},
) {
  const running = await startJsonServer((seen, index) =>
    typeof reactions === "function"
      ? reactions(seen, index)
      : (reactions[Math.min(index, reactions.length - 1)] ?? "break"),
  );
  server = running;
  const warnings: string[] = [];
  const generator = createInferenceGenerator({
    model: "some/model",
    endpointUrl: running.url,
    accessToken: "secret",
    retryDelayMs: 1,
    retries: 2,
    logger: { info: () => undefined, warn: (message) => warnings.push(message) },
    ...more,
  });
  return { generator, running, warnings };
}

const json = (text: string): Reaction => ({ status: 200, text });
const whole = chatCompletion("hi");
const tooMany = (headers: Readonly<Record<string, string>>): Reaction => ({
  status: 429,
  body: { error: "slow down" },
  headers,
});

describe("a server that wants to be left alone", () => {
  it.each([
    ["seconds", { "retry-after": "0.25" }, 250],
    [
      "a date",
      {
        "retry-after": "Tue, 15 Nov 1994 08:12:32 GMT",
        date: "Tue, 15 Nov 1994 08:12:31 GMT",
      },
      300,
    ],
  ])("is left alone as long as it asks for (%s), up to the cap", async (_, headers, waitMs) => {
    const { generator, running, warnings } = await start([tooMany(headers), whole], {
      maxRetryAfterMs: 300,
    });
    const before = performance.now();
    expect(await generator.generate([request()])).toMatchObject([
      { status: "completed", attempts: 2 },
    ]);
    expect(performance.now() - before).toBeGreaterThanOrEqual(waitMs - 5);
    expect(running.seen).toHaveLength(2);
    expect(warnings[0]).toContain(`in ${waitMs} ms as the server asks`);
  });

  it("is no reason to wait after the last try, nor after an abort", async () => {
    const { generator } = await start([tooMany({ "retry-after": "3600" })], { retries: 0 });
    expect(await generator.generate([request()])).toMatchObject([
      { status: "failed", attempts: 1 },
    ]);
    await server?.close();
    const controller = new AbortController();
    const reason = new Error("the user pressed Ctrl-C");
    const second = await start([tooMany({ "retry-after": "3600" })], {
      maxRetryAfterMs: 3_600_000,
      signal: controller.signal,
    });
    setTimeout(() => controller.abort(reason), 30);
    await expect(second.generator.generate([request()])).rejects.toBe(reason);
  });
});

describe("a fault of the moment is tried again", () => {
  it.each<[string, Reaction]>([
    ["HTTP 500", { status: 500, body: { error: "oops" } }],
    ["HTTP 502 of a proxy", { status: 502, text: "<html>", contentType: "text/html" }],
    ["half a JSON", json('{"choices":[{"index":0,"finish_reason":"st')],
    ["no body", json("")],
    ["a broken connection", "break"],
    ["silence", "hang"],
  ])("%s", async (_, reaction) => {
    const options = { requestTimeoutMs: 200 };
    const { generator, running } = await start([reaction, whole], options);
    expect(await generator.generate([request()])).toEqual([
      { status: "completed", completions: [{ text: "hi", stopReason: "stop" }], attempts: 2 },
    ]);
    expect(running.seen).toHaveLength(2);
    await server?.close();
    const lasting = await start([reaction], options);
    expect(await lasting.generator.generate([request()])).toMatchObject([
      { status: "failed", attempts: 3 },
    ]);
    expect(lasting.generator.statistics()).toEqual({
      calls: 1,
      retries: 2,
      failures: 1,
      unconstrained: 0,
    });
  });
});

describe("a lasting fault fails at once, with the reason", () => {
  it.each<[string, Reaction, string]>([
    ["a wrong key", { status: 401, body: { error: "bad token" } }, "is the access token right"],
    ["no access", { status: 403, body: { error: "gated" } }, "is the access token right"],
    ["an unknown model", { status: 404, body: { error: "no such model" } }, "HTTP 404"],
    ["a filtered prompt", { status: 400, body: { error: "content_filter" } }, "content_filter"],
    ["a filtered reply", chatCompletion("hi", "content_filter"), '"content_filter"'],
    ["a call of a tool", chatCompletion("", "tool_calls"), '"tool_calls"'],
    ["no choice", { status: 200, body: { choices: [] } }, "got 0"],
    ["an empty choice", { status: 200, body: { choices: [{}] } }, "no chat completion"],
    [
      "a choice without an end",
      { status: 200, body: { choices: [{ message: { content: "hi" } }] } },
      '"none"',
    ],
  ])("%s", async (_, reaction, reason) => {
    const { generator, running } = await start([reaction]);
    const [result] = await generator.generate([request()]);
    expect(result).toMatchObject({ status: "failed", attempts: 1 });
    expect(result?.status === "failed" ? result.reason : "").toContain(reason);
    expect(running.seen).toHaveLength(1);
    expect(JSON.stringify(result)).not.toContain("secret");
  });
});

it("a failed call costs its own request only", async () => {
  const { generator } = await start((seen) =>
    JSON.stringify(seen.body).includes("bad") ? { status: 401, body: {} } : whole,
  );
  const results = await generator.generate(["a", "bad", "c"].map((text) => request(text)));
  expect(results.map(({ status }) => status)).toEqual(["completed", "failed", "completed"]);
});

describe("a form for the reply", () => {
  const schema = { type: "object", properties: { a: { type: "number" } } };
  const constraint = { type: "json_schema", value: JSON.stringify(schema) } as const;
  const refusing =
    (status: number) =>
    (seen: SeenRequest): Reaction =>
      "response_format" in seen.body
        ? { status, body: { error: "unknown field response_format" } }
        : whole;

  it.each([400, 422, 501])(
    "that the endpoint refuses with %i is left out, once asked and counted each time",
    async (status) => {
      const { generator, running, warnings } = await start(refusing(status));
      for (let call = 0; call < 3; call++)
        expect(await generator.generate([request("x", { constraint })])).toMatchObject([
          { status: "completed", completions: [{ text: "hi" }] },
        ]);
      expect(running.seen.map(({ body }) => "response_format" in body)).toEqual([
        true,
        false,
        false,
        false,
      ]);
      expect(generator.statistics()).toMatchObject({ unconstrained: 3, retries: 0 });
      expect(warnings).toEqual([expect.stringContaining("response_format")]);
    },
  );

  it("is asked for again where another one was refused", async () => {
    const { generator, running } = await start(refusing(400));
    await generator.generate([request("x", { constraint })]);
    await generator.generate([
      request("x", { constraint: { type: "json_schema", value: '{"type":"array"}' } }),
    ]);
    expect(running.seen).toHaveLength(4);
  });

  it("is not blamed for a refusal that has another reason", async () => {
    const { generator, running } = await start([{ status: 400, body: { error: "too long" } }]);
    const [result] = await generator.generate([request("x", { constraint })]);
    expect(JSON.stringify(result)).toMatch(/failed.*too long/);
    expect(generator.statistics().unconstrained).toBe(0);
    await generator.generate([request("x", { constraint })]);
    expect(running.seen.map(({ body }) => "response_format" in body)).toEqual([
      true,
      false,
      true,
      false,
    ]);
  });
});

describe("streaming", () => {
  async function startStreaming(
    reactions: readonly Reaction[] | ((request: SeenRequest) => Reaction),
    more: Partial<InferenceGeneratorOptions> = {},
  ) {
    const pieces: TextPiece[] = [];
    const started = await start(reactions, { onPiece: (piece) => pieces.push(piece), ...more });
    return { ...started, pieces };
  }

  it("tells each piece as it comes and gives the same result", async () => {
    const { generator, running, pieces } = await startStreaming([
      { events: chatCompletionEvents(["Sa", "", "lü 😀", "!"]) },
    ]);
    const asked = request("hello");
    expect(await generator.generate([asked])).toEqual([
      { status: "completed", completions: [{ text: "Salü 😀!", stopReason: "stop" }], attempts: 1 },
    ]);
    expect(pieces).toEqual(
      ["Sa", "lü 😀", "!"].map((text) => ({ request: asked, completion: 0, attempt: 1, text })),
    );
    expect(running.seen[0]).toMatchObject({
      path: "/v1/chat/completions",
      authorization: "Bearer secret",
      body: { stream: true, max_tokens: 8, seed: 3 },
    });
  });

  it("keeps several completions apart", async () => {
    const chunk = (index: number, content: string, reason: string | null = null): string =>
      JSON.stringify({ choices: [{ index, delta: { content }, finish_reason: reason }] });
    const { generator } = await startStreaming([
      {
        events: [
          chunk(0, "a"),
          chunk(1, "x"),
          chunk(0, "b", "stop"),
          chunk(1, "y", "length"),
          '{"choices":[],"usage":{}}',
          "[DONE]",
        ],
      },
    ]);
    expect(await generator.generate([request("x", { count: 2 })])).toMatchObject([
      {
        completions: [
          { text: "ab", stopReason: "stop" },
          { text: "xy", stopReason: "length" },
        ],
      },
    ]);
  });

  const cut = chatCompletionEvents(["ha", "lf"], null);
  it.each<[string, Reaction]>([
    ["that ends without an end", { events: cut }],
    ["whose connection breaks", { events: cut, afterwards: "break" }],
    ["that falls silent", { events: cut, afterwards: "hang" }],
    ["with half a JSON", { events: [...cut, '{"choices":[{"ind'] }],
    ["that was refused for the moment", tooMany({})],
  ])("begins a stream %s anew, under another attempt", async (_, reaction) => {
    const { generator, pieces } = await startStreaming(
      [reaction, { events: chatCompletionEvents(["whole"]) }],
      { requestTimeoutMs: 200 },
    );
    expect(await generator.generate([request()])).toMatchObject([
      { status: "completed", completions: [{ text: "whole" }], attempts: 2 },
    ]);
    expect(pieces.filter(({ attempt }) => attempt === 2).map(({ text }) => text)).toEqual([
      "whole",
    ]);
  });

  it.each<[string, Reaction]>([
    ["a filtered reply", { events: chatCompletionEvents(["hi"], "content_filter") }],
    ["an error in the stream", { events: ['{"error":{"message":"out of memory"}}'] }],
    ["another form", { events: ['{"choices":[{"delta":{"content":3}}]}'] }],
    ["an answer that is no stream", whole],
    ["a wrong key", { status: 401, body: { error: "bad token" } }],
  ])("fails at once after %s", async (_, reaction) => {
    const { generator, running } = await startStreaming([reaction]);
    expect(await generator.generate([request()])).toMatchObject([{ status: "failed" }]);
    expect(running.seen).toHaveLength(1);
  });

  it("keeps to its concurrency", async () => {
    const { generator, running } = await startStreaming(
      (seen) => {
        const messages = z.array(z.object({ content: z.string() })).parse(seen.body.messages);
        return { events: chatCompletionEvents([messages[0]?.content ?? ""]) };
      },
      { concurrency: 2 },
    );
    const texts = ["a", "b", "c", "d", "e"];
    const results = await generator.generate(texts.map((text) => request(text)));
    expect(
      results.map((result) => result.status === "completed" && result.completions[0]?.text),
    ).toEqual(texts);
    expect(running.mostAtOnce()).toBeLessThanOrEqual(2);
  });
});

it("the fixture's events are those of OpenAI's stream", () => {
  const [first, second, done] = chatCompletionEvents(["hi"]);
  const schema = z.looseObject({ object: z.string(), choices: z.array(z.unknown()) });
  expect(parseJson(first ?? "", schema, "event")).toMatchObject({
    object: "chat.completion.chunk",
    choices: [{ index: 0, delta: { content: "hi" }, finish_reason: null }],
  });
  expect(parseJson(second ?? "", schema, "event").choices).toEqual([
    { index: 0, delta: {}, finish_reason: "stop" },
  ]);
  expect(done).toBe("[DONE]");
});
