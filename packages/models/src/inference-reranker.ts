import { ModelCallError, type Reranker } from "@memory-r1/spec";
import pLimit from "p-limit";
import { z } from "zod";
import {
  type CallStatistics,
  createCaller,
  type InferenceTarget,
  type TryOptions,
} from "./call.ts";

export interface InferenceRerankerOptions extends Omit<InferenceTarget, "provider"> {
  /** The whole address of the route, `http://127.0.0.1:8000/rerank`: no provider of Hugging Face Inference has one. */
  readonly endpointUrl: string;
  /** Texts of one call; default 32, the limit of text-embeddings-inference as it is installed. */
  readonly batchSize?: number;
  /** For manifests; default: the model and where it runs. */
  readonly description?: string;
}

/** A Reranker that counts its calls. */
export interface InferenceReranker extends Reranker {
  statistics(): CallStatistics;
}

const ranksSchema = z.array(z.object({ index: z.int().min(0), score: z.number() }));

/** An answer of a status that is none of success, in the form in which createCaller reads those of the library. */
class RefusedRequest extends Error {
  readonly httpResponse: { readonly status: number };
  constructor(status: number, message: string) {
    super(message);
    this.name = "RefusedRequest";
    this.httpResponse = { status };
  }
}

/**
 * A Reranker over `/rerank` of text-embeddings-inference, which the embedded engine serves, too. Scores are the model's
 * logits; of a pair that is too long the server cuts the longer part. Each different text is sent once in a call, in
 * batches of the texts' order, so that equal calls give equal batches.
 * Errors: ModelCallError after the retries, also for ranks that do not fit the texts.
 */
export function createInferenceReranker(options: InferenceRerankerOptions): InferenceReranker {
  const { endpointUrl, accessToken, model } = options;
  const caller = createCaller(options);
  const limit = pLimit(options.concurrency ?? 2);
  const batchSize = options.batchSize ?? 32;

  // The library has no task for it that it would not warn of.
  async function post(body: object, { fetch, signal }: TryOptions): Promise<unknown> {
    const response = await fetch(endpointUrl, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        ...(accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` }),
      },
      body: JSON.stringify(body),
      signal,
    });
    if (!response.ok) {
      const reason = (await response.text()).slice(0, 300);
      throw new RefusedRequest(response.status, reason === "" ? response.statusText : reason);
    }
    if (response.headers.get("content-type")?.startsWith("application/json") !== true)
      throw new ModelCallError(`${endpointUrl} answers with no JSON: is it a /rerank?`, {
        retryable: false,
      });
    return response.json();
  }

  async function scoreBatch(query: string, texts: readonly string[]): Promise<readonly number[]> {
    const answer = await caller.call(`reranking with ${model}`, (tryOptions) =>
      post({ query, texts, raw_scores: true, truncate: true }, tryOptions),
    );
    const parsed = ranksSchema.safeParse(answer);
    if (!parsed.success)
      throw new ModelCallError(
        `${model} does not answer with an index and a score for each text: is ${endpointUrl} a /rerank?`,
        { retryable: false, cause: parsed.error },
      );
    const scores = new Map(parsed.data.map(({ index, score }) => [index, score]));
    return texts.map((_, index) => {
      const score = scores.get(index);
      if (score === undefined || parsed.data.length !== texts.length)
        throw new ModelCallError(
          `${model} answered ${texts.length} texts with ${parsed.data.length} scores that are not one for each`,
          { retryable: false },
        );
      return score;
    });
  }

  return {
    description: options.description ?? `${model} (${endpointUrl})`,
    statistics: () => caller.statistics(),
    async score(query, texts) {
      const distinct = [...new Set(texts)];
      const batches: (readonly string[])[] = [];
      for (let start = 0; start < distinct.length; start += batchSize)
        batches.push(distinct.slice(start, start + batchSize));
      const scores = await Promise.all(
        batches.map((batch) => limit(() => scoreBatch(query, batch))),
      );
      const scoreOf = new Map(
        batches.flatMap((batch, number) =>
          batch.map((text, index): [string, number | undefined] => [text, scores[number]?.[index]]),
        ),
      );
      return texts.map((text) => {
        const score = scoreOf.get(text);
        if (score === undefined) throw new TypeError("a text was just scored and has no score");
        return score;
      });
    },
  };
}
