import { setTimeout as sleep } from "node:timers/promises";
import { ConfigError, type GenerateRequest } from "@memory-r1/spec";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { describeTextGeneratorContract } from "./contract.ts";
import { createInferenceGenerator, type InferenceGeneratorOptions } from "./inference-generator.ts";
import {
  chatCompletion,
  startJsonServer,
  type JsonServer,
  type Reaction,
  type SeenRequest,
} from "./json-server.ts";

const request = (content: string, more: Partial<GenerateRequest> = {}): GenerateRequest => ({
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

async function start(
  handle: (request: SeenRequest, index: number) => Reaction | Promise<Reaction>,
  more: Partial<InferenceGeneratorOptions> = {},
) {
  const running = await startJsonServer(handle);
  server = running;
  const generator = createInferenceGenerator({
    model: "some/model",
    endpointUrl: running.url,
    accessToken: "secret",
    retryDelayMs: 1,
    ...more,
  });
  return { generator, running };
}

/** A chat model in a few lines: it repeats the last message, cut off after max_tokens words. */
function echo({ body }: SeenRequest): Reaction {
  const messages = z.array(z.object({ content: z.string() })).parse(body.messages);
  const maxTokens = Number(body.max_tokens);
  if (maxTokens > 1_000) return { status: 400, body: { detail: "max_tokens is too large" } };
  const words = (messages.at(-1)?.content ?? "").split(" ");
  const content = words.slice(0, maxTokens).join(" ");
  const choice = {
    index: 0,
    finish_reason: words.length > maxTokens ? "length" : "stop",
    message: { role: "assistant", content },
  };
  const choices = Array.from({ length: Number(body.n ?? 1) }, () => choice);
  return { status: 200, body: { id: "1", created: 1, model: "m", usage: {}, choices } };
}

describeTextGeneratorContract("@huggingface/inference, local server", async () => {
  const running = await startJsonServer(echo);
  return {
    generator: createInferenceGenerator({ model: "some/model", endpointUrl: running.url }),
    refused: request("hello", { maxTokens: 1_000_000 }),
    stop: () => running.close(),
  };
});

describe("createInferenceGenerator", () => {
  it("sends what was asked for, with the token", async () => {
    const { generator, running } = await start(() => chatCompletion("hi"));
    const schema = { type: "object", properties: { a: { type: "number" } } };
    const [result] = await generator.generate([
      request("héllo 😀", { constraint: { type: "json_schema", value: JSON.stringify(schema) } }),
    ]);
    expect(result).toEqual({
      status: "completed",
      completions: [{ text: "hi", stopReason: "stop" }],
      attempts: 1,
    });
    expect(running.seen[0]).toEqual({
      path: "/v1/chat/completions",
      authorization: "Bearer secret",
      body: {
        model: "some/model",
        messages: [{ role: "user", content: "héllo 😀" }],
        max_tokens: 8,
        temperature: 0,
        seed: 3,
        response_format: {
          type: "json_schema",
          json_schema: { name: "reply", schema, strict: true },
        },
      },
    });
  });

  it("describes itself by model and place unless told how", async () => {
    const { generator, running } = await start(() => chatCompletion("hi"));
    expect(generator.description).toBe(`some/model (${running.url})`);
    expect(createInferenceGenerator({ model: "m", description: "judge v2" }).description).toBe(
      "judge v2",
    );
  });

  it("tries again after every transient failure, and counts", async () => {
    const failures: Reaction[] = [
      { status: 408, body: { error: "slow" } },
      { status: 429, body: { error: "rate" } },
      { status: 503, body: { error: "busy" } },
      "break",
    ];
    const { generator, running } = await start(
      (_, index) => failures[index] ?? chatCompletion("hi"),
    );
    const [result] = await generator.generate([request("x")]);
    expect(result).toMatchObject({ status: "completed", attempts: 5 });
    expect(running.seen).toHaveLength(5);
    expect(generator.statistics()).toEqual({ calls: 1, retries: 4, failures: 0, unconstrained: 0 });
  });

  it("tries again when no answer comes in time", async () => {
    const { generator, running } = await start(
      (_, index) => (index === 0 ? "hang" : chatCompletion("hi")),
      { requestTimeoutMs: 100 },
    );
    await expect(generator.generate([request("x")])).resolves.toMatchObject([
      { status: "completed" },
    ]);
    expect(running.seen).toHaveLength(2);
  });

  it("fails with the last reason after its retries, and never throws", async () => {
    const warnings: string[] = [];
    const { generator, running } = await start(
      () => ({ status: 500, body: { error: "out of memory" } }),
      {
        retries: 2,
        logger: { info: () => undefined, warn: (message) => warnings.push(message) },
      },
    );
    const [result] = await generator.generate([request("x")]);
    expect(result).toMatchObject({ status: "failed", attempts: 3 });
    expect(JSON.stringify(result)).toMatch(/HTTP 500.*out of memory/);
    expect(running.seen).toHaveLength(3);
    expect(warnings).toHaveLength(2);
    expect(generator.statistics()).toEqual({ calls: 1, retries: 2, failures: 1, unconstrained: 0 });
  });

  it.each([400, 401, 404, 422])("does not try again after HTTP %i", async (status) => {
    const { generator, running } = await start(() => ({ status, body: { detail: "no" } }));
    const [result] = await generator.generate([request("x")]);
    expect(result).toMatchObject({ status: "failed" });
    expect(JSON.stringify(result)).toContain(`HTTP ${status}`);
    expect(running.seen).toHaveLength(1);
  });

  it("fails with the reason when nobody listens", async () => {
    const { generator, running } = await start(() => "break", { retries: 1 });
    await running.close();
    server = undefined;
    const [result] = await generator.generate([request("x")]);
    expect(JSON.stringify(result)).toMatch(/failed.*ECONNREFUSED/);
  });

  it.each([
    ["no chat completion", { status: 200, body: { id: "1", created: 1, model: "m", usage: {} } }],
    ["a web page", { status: 200, text: "<html>", contentType: "text/html" }],
    ["a filtered text", chatCompletion("hi", "content_filter")],
  ] as const)("fails when the answer is %s", async (_, reaction) => {
    const { generator } = await start(() => reaction, { retries: 0 });
    const [result] = await generator.generate([request("x")]);
    expect(result?.status).toBe("failed");
    expect(result?.status === "failed" ? result.reason : "").not.toBe("");
  });

  it("fails when the server gives fewer completions than asked for", async () => {
    const { generator } = await start(() => chatCompletion("hi"));
    const [result] = await generator.generate([request("x", { count: 3 })]);
    expect(result).toMatchObject({ status: "failed" });
    expect(JSON.stringify(result)).toContain("asked for 3 completions, got 1");
  });

  it("reads text-generation-inference's finish reasons, and no content as empty text", async () => {
    const { generator } = await start((_, index) =>
      index === 0
        ? chatCompletion("hi", "eos_token")
        : {
            status: 200,
            body: {
              choices: [{ finish_reason: "length", message: { role: "assistant", content: null } }],
            },
          },
    );
    const first = await generator.generate([request("x")]);
    const second = await generator.generate([request("x")]);
    expect(first).toMatchObject([{ completions: [{ text: "hi", stopReason: "stop" }] }]);
    expect(second).toMatchObject([{ completions: [{ text: "", stopReason: "length" }] }]);
  });

  it("keeps to its concurrency and to the order of the requests", async () => {
    const { generator, running } = await start(
      async (seen, index) => {
        await sleep(index % 2 === 0 ? 20 : 1);
        return echo(seen);
      },
      { concurrency: 3 },
    );
    const contents = Array.from({ length: 10 }, (_, index) => `message-${index}`);
    const results = await generator.generate(contents.map((content) => request(content)));
    expect(
      results.map((result) => result.status === "completed" && result.completions[0]?.text),
    ).toEqual(contents);
    expect(running.mostAtOnce()).toBe(3);
  });

  it("refuses a constraint that no chat server can hold to", async () => {
    const { generator } = await start(() => chatCompletion("hi"));
    await expect(
      generator.generate([request("x", { constraint: { type: "regex", value: "a|b" } })]),
    ).rejects.toBeInstanceOf(ConfigError);
  });

  it("stops at an abort signal", async () => {
    const controller = new AbortController();
    const { generator } = await start(() => "hang", { signal: controller.signal });
    const reason = new Error("the user pressed Ctrl-C");
    setTimeout(() => controller.abort(reason), 30);
    await expect(generator.generate([request("x")])).rejects.toBe(reason);
  });
});
