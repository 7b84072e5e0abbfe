import { ModelCallError } from "@memory-r1/spec";
import { afterEach, describe, expect, it } from "vitest";
import { z } from "zod";
import {
  startJsonServer,
  type JsonServer,
  type Reaction,
  type SeenRequest,
} from "./json-server.ts";
import { createInferenceEmbedding, type InferenceEmbeddingOptions } from "./inference-embedding.ts";

let server: JsonServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

const textsOf = (request: SeenRequest): readonly string[] =>
  z.array(z.string()).parse(request.body.inputs);

/** [length of the text, 4]: "abc" is [3, 4], whose unit vector is [0.6, 0.8]. */
const lengths = (request: SeenRequest): Reaction => ({
  status: 200,
  body: textsOf(request).map((text) => [text.length, 4]),
});

async function start(
  handle: (request: SeenRequest, index: number) => Reaction,
  more: Partial<InferenceEmbeddingOptions> = {},
) {
  const running = await startJsonServer(handle);
  server = running;
  const model = createInferenceEmbedding({
    model: "some/encoder",
    endpointUrl: `${running.url}/embed`,
    accessToken: "secret",
    retryDelayMs: 1,
    retries: 2,
    ...more,
  });
  return { model, running };
}

describe("createInferenceEmbedding", () => {
  it("gives unit vectors in the order of the texts", async () => {
    const { model, running } = await start(lengths);
    const [three, none] = await model.embed(["abc", ""]);
    expect(three).toBeInstanceOf(Float32Array);
    // 3² + 4² = 5²; [0, 4] points along the second axis.
    expect([...(three ?? [])]).toEqual([Math.fround(0.6), Math.fround(0.8)]);
    expect([...(none ?? [])]).toEqual([0, 1]);
    expect(running.seen[0]).toMatchObject({
      path: "/embed",
      authorization: "Bearer secret",
      body: { inputs: ["abc", ""] },
    });
  });

  it("sends batches, each text once, and nothing that it knows", async () => {
    const { model, running } = await start(lengths, { batchSize: 2 });
    const texts = ["a", "bb", "a", "ccc", "dddd", "日本語", "bb"];
    const vectors = await model.embed(texts);
    expect(vectors).toHaveLength(7);
    expect(vectors[0]).toBe(vectors[2]);
    expect(new Set(running.seen.map(textsOf))).toEqual(
      new Set([["a", "bb"], ["ccc", "dddd"], ["日本語"]]),
    );
    await model.embed([...texts, "new"]);
    expect(running.seen.map(textsOf).at(-1)).toEqual(["new"]);
    expect(model.statistics()).toEqual({ calls: 4, retries: 0, failures: 0 });
  });

  it("asks once for a text that two calls want at the same time", async () => {
    const { model, running } = await start(lengths);
    const [first, second] = await Promise.all([model.embed(["a", "b"]), model.embed(["b", "c"])]);
    expect(first[1]).toBe(second[0]);
    expect(running.seen.flatMap(textsOf)).toEqual(["a", "b", "c"]);
  });

  it("gives nothing for nothing, without a call", async () => {
    const { model, running } = await start(lengths);
    await expect(model.embed([])).resolves.toEqual([]);
    expect(running.seen).toHaveLength(0);
  });

  it("tries again after a transient failure and asks anew after a lasting one", async () => {
    const { model, running } = await start((request, index) =>
      index < 2 || (index > 2 && index < 6)
        ? { status: 503, body: { error: "loading" } }
        : lengths(request),
    );
    await expect(model.embed(["abc"])).resolves.toHaveLength(1);
    const error = await model.embed(["other"]).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ModelCallError);
    expect(error).toMatchObject({ status: 503, retryable: true });
    await expect(model.embed(["other"])).resolves.toHaveLength(1);
    expect(running.seen).toHaveLength(7);
    expect(model.statistics()).toEqual({ calls: 3, retries: 4, failures: 1 });
  });

  it.each([
    ["another number of vectors", [[1, 2]]],
    ["a vector for each token", [[[1, 2]], [[3, 4]]]],
    ["something else", { error: "none" }],
    [
      "vectors of unequal length",
      [
        [1, 2],
        [1, 2, 3],
      ],
    ],
    [
      "a zero vector",
      [
        [1, 2],
        [0, 0],
      ],
    ],
  ])("refuses %s", async (_, body) => {
    const { model, running } = await start(() => ({ status: 200, body }));
    const error = await model.embed(["a", "b"]).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(ModelCallError);
    expect(error).toMatchObject({ retryable: false });
    expect(running.seen).toHaveLength(1);
  });

  it("refuses a model of another dimension than the configuration names", async () => {
    const { model } = await start(lengths, { dimension: 384 });
    await expect(model.embed(["abc"])).rejects.toThrow(/2 dimensions, expected 384/);
  });

  it("stops at an abort signal", async () => {
    const controller = new AbortController();
    const { model } = await start(() => "hang", { signal: controller.signal });
    const reason = new Error("the user pressed Ctrl-C");
    setTimeout(() => controller.abort(reason), 30);
    await expect(model.embed(["abc"])).rejects.toBe(reason);
  });
});
