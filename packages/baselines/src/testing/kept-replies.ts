import type { GenerateRequest, GenerateResult, TextGenerator } from "@memory-r1/spec";
import { expect } from "vitest";

/** A model between a system and the one that answers, that keeps every reply so that it can be given again. */
export interface KeptReplies extends TextGenerator {
  /** Every request that was answered by the model behind it, and how. A failed call keeps nothing. */
  readonly kept: readonly KeptReply[];
  /** How many calls failed so far. */
  failures(): number;
  /** From here on a fresh session asks: the replies that are kept are given again, in order, before the model is asked. */
  playAgain(): void;
}

export interface KeptReply {
  readonly request: GenerateRequest;
  readonly result: GenerateResult;
}

/**
 * Keeps the replies of `model`, as a run does that can be resumed. A system that asks something else when it is played
 * again fails here: its memory depends on more than what it was told.
 */
export function keepReplies(
  model: TextGenerator,
  options: { readonly failsEvery?: number } = {},
): KeptReplies {
  const kept: KeptReply[] = [];
  let position = 0;
  let calls = 0;
  let failed = 0;
  return {
    description: model.description,
    kept,
    failures: () => failed,
    playAgain: () => {
      position = 0;
    },
    generate: async (requests) => {
      const results: GenerateResult[] = [];
      for (const request of requests) {
        const again = kept[position];
        if (again !== undefined) {
          expect(request, "asked in another way when played again").toEqual(again.request);
          position += 1;
          results.push(again.result);
          continue;
        }
        calls += 1;
        if (options.failsEvery !== undefined && calls % options.failsEvery === 0) {
          failed += 1;
          results.push({ status: "failed", reason: `call ${calls} fails in this test` });
          continue;
        }
        const [result] = await model.generate([request]);
        if (result === undefined) throw new RangeError("the model of the test gave no result");
        kept.push({ request, result });
        position += 1;
        results.push(result);
      }
      return results;
    },
  };
}

/** Tries a failed call a second time, as the clients of packages/models do. */
export function retryOnce(model: TextGenerator): TextGenerator {
  return {
    description: model.description,
    generate: async (requests) => {
      const results = await model.generate(requests);
      const again = results.flatMap((result, index) => {
        const request = requests[index];
        return result.status === "failed" && request !== undefined ? [request] : [];
      });
      if (again.length === 0) return results;
      const second = [...(await model.generate(again))];
      return results.map((result) =>
        result.status === "failed" ? (second.shift() ?? result) : result,
      );
    },
  };
}
