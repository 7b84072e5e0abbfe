import { ModelCallError } from "@memory-r1/spec";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { describeRerankerContract } from "./contract.ts";
import { createInferenceReranker, type InferenceRerankerOptions } from "./inference-reranker.ts";
import {
  type JsonServer,
  type Reaction,
  type SeenRequest,
  startJsonServer,
} from "./json-server.ts";

let server: JsonServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

const bodySchema = z.object({ query: z.string(), texts: z.array(z.string()) });
const textsOf = (request: SeenRequest): readonly string[] => bodySchema.parse(request.body).texts;

/**
 * text-embeddings-inference as it is installed: at most 32 texts, best first, the sigmoid of the score unless it is asked
 * for raw. The score is how many characters of the text are in the query.
 */
function answerAsTei({ body }: SeenRequest): Reaction {
  const { query, texts } = bodySchema.parse(body);
  if (texts.length > 32)
    return { status: 413, body: { error: "batch size > maximum", error_type: "Validation" } };
  const scored = texts.map((text, index) => {
    const logit = text.split("").filter((character) => query.includes(character)).length;
    return { index, score: body["raw_scores"] === true ? logit : 1 / (1 + Math.exp(-logit)) };
  });
  return {
    status: 200,
    body: scored.toSorted((one, other) => other.score - one.score || other.index - one.index),
  };
}

async function start(
  handle: (request: SeenRequest, index: number) => Reaction,
  more: Partial<InferenceRerankerOptions> = {},
) {
  const running = await startJsonServer(handle);
  server = running;
  const reranker = createInferenceReranker({
    model: "some/cross-encoder",
    endpointUrl: `${running.url}/rerank`,
    accessToken: "secret",
    retryDelayMs: 1,
    retries: 2,
    ...more,
  });
  return { reranker, running };
}

describeRerankerContract("a server that answers as text-embeddings-inference", async () => {
  const running = await startJsonServer(answerAsTei);
  return {
    reranker: createInferenceReranker({ model: "m", endpointUrl: `${running.url}/rerank` }),
    stop: () => running.close(),
  };
});

describe("createInferenceReranker", () => {
  it("gives raw scores in the order of the texts", async () => {
    const { reranker, running } = await start(answerAsTei);
    // Of "ab": "xa" has one character, "abba" four, "" none.
    await expect(reranker.score("ab", ["xa", "abba", "", "日本"])).resolves.toEqual([1, 4, 0, 0]);
    expect(running.seen).toEqual([
      {
        path: "/rerank",
        authorization: "Bearer secret",
        body: { query: "ab", texts: ["xa", "abba", "", "日本"], raw_scores: true, truncate: true },
      },
    ]);
    expect(reranker.description).toContain("some/cross-encoder (http://127.0.0.1");
  });

  it("sends batches in order, each text once, and nothing for nothing", async () => {
    const { reranker, running } = await start(answerAsTei, { batchSize: 2, concurrency: 1 });
    await expect(reranker.score("ab", [])).resolves.toEqual([]);
    expect(running.seen).toHaveLength(0);
    const scores = await reranker.score("ab", ["a", "b", "a", "aaa", "x", "b", "aa"]);
    expect(scores).toEqual([1, 1, 1, 3, 0, 1, 2]);
    expect(running.seen.map(textsOf)).toEqual([["a", "b"], ["aaa", "x"], ["aa"]]);
    expect(reranker.statistics()).toEqual({ calls: 3, retries: 0, failures: 0 });
  });

  it("does without a token where the server wants none", async () => {
    const running = await startJsonServer(answerAsTei);
    server = running;
    const reranker = createInferenceReranker({ model: "m", endpointUrl: `${running.url}/rerank` });
    await expect(reranker.score("a", ["a"])).resolves.toEqual([1]);
    expect(running.seen[0]?.authorization).toBeUndefined();
  });

  it.each<[string, Reaction]>([
    ["503", { status: 503, body: { error: "loading" } }],
    ["429", { status: 429, body: { error: "Model is overloaded" } }],
    ["a broken connection", "break"],
    ["half a JSON", { status: 200, text: '[{"index": 0, "sc' }],
  ])("tries again after %s, and gives up after the last try", async (_, fault) => {
    const { reranker, running } = await start((request, index) =>
      index !== 2 ? fault : answerAsTei(request),
    );
    await expect(reranker.score("ab", ["abba"])).resolves.toEqual([4]);
    const error = await reranker.score("ab", ["abba"]).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ModelCallError);
    expect(error).toMatchObject({ retryable: true });
    expect(running.seen).toHaveLength(6);
    expect(reranker.statistics()).toEqual({ calls: 2, retries: 4, failures: 1 });
  });

  it("tries again where no answer comes in time", async () => {
    const { reranker } = await start(
      (request, index) => (index === 0 ? "hang" : answerAsTei(request)),
      { requestTimeoutMs: 100 },
    );
    await expect(reranker.score("ab", ["abba"])).resolves.toEqual([4]);
  });

  it.each<[string, Reaction, RegExp]>([
    [
      "a server without a reranker",
      { status: 404, body: { detail: "no reranker is served: start with --reranker-dir" } },
      /HTTP 404: .*start with --reranker-dir/,
    ],
    [
      "a model that is none",
      { status: 424, body: { error: "model is not a re-ranker model", error_type: "Backend" } },
      /HTTP 424: .*not a re-ranker/,
    ],
    ["a wrong token", { status: 401, text: "" }, /HTTP 401 \(is the access token right.*Unauth/],
    ["a web page", { status: 200, text: "<p>hi</p>", contentType: "text/html" }, /no JSON/],
    ["something else", { status: 200, body: { results: [] } }, /an index and a score for each/],
    ["too few", { status: 200, body: [{ index: 0, score: 1 }] }, /2 texts with 1 scores/],
    [
      "one text twice",
      {
        status: 200,
        body: [
          { index: 1, score: 1 },
          { index: 1, score: 2 },
        ],
      },
      /2 texts with 2 scores that are not one for each/,
    ],
    ["no number", { status: 200, text: '[{"index": 0, "score": null}]' }, /an index and a score/],
  ])("refuses %s at once", async (_, reaction, message) => {
    const { reranker, running } = await start(() => reaction);
    const error = await reranker.score("q", ["a", "b"]).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ModelCallError);
    expect(error).toMatchObject({ retryable: false });
    expect(String(error)).toMatch(message);
    expect(String(error)).not.toContain("secret");
    expect(running.seen).toHaveLength(1);
  });

  it("stops at an abort signal", async () => {
    const controller = new AbortController();
    const { reranker } = await start(() => "hang", { signal: controller.signal });
    const reason = new Error("the user pressed Ctrl-C");
    setTimeout(() => controller.abort(reason), 30);
    await expect(reranker.score("q", ["a"])).rejects.toBe(reason);
  });
});
