import type {
  GenerateRequest,
  GenerateResult,
  GeneratedText,
  Reranker,
  TextGenerator,
} from "@memory-r1/spec";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

/** A generator under test. */
export interface ContractSubject {
  readonly generator: TextGenerator;
  /** A request that the server must refuse: it has to become a `failed` result beside results that stand. */
  readonly refused: GenerateRequest;
  readonly stop?: () => Promise<void>;
}

const request = (content: string, more: Partial<GenerateRequest> = {}): GenerateRequest => ({
  messages: [{ role: "user", content }],
  maxTokens: 6,
  temperature: 0,
  seed: 1,
  ...more,
});

function completionsOf(result: GenerateResult | undefined): readonly GeneratedText[] {
  expect(result).toMatchObject({ status: "completed" });
  return result?.status === "completed" ? result.completions : [];
}

/**
 * What every TextGenerator must do (spec/chat.ts), as a vitest suite. `startTimeoutMs` is for generators that start an
 * engine first.
 */
export function describeTextGeneratorContract(
  name: string,
  start: () => Promise<ContractSubject>,
  options: { readonly startTimeoutMs?: number } = {},
): void {
  describe(`TextGenerator contract: ${name}`, { timeout: 60_000 }, () => {
    let subject: ContractSubject | undefined;
    beforeAll(async () => {
      subject = await start();
    }, options.startTimeoutMs ?? 10_000);
    afterAll(async () => {
      await subject?.stop?.();
    });
    const generate = (requests: readonly GenerateRequest[]): Promise<readonly GenerateResult[]> => {
      if (subject === undefined) throw new Error("the generator did not start");
      return subject.generator.generate(requests);
    };

    it("has a description", () => {
      expect(subject?.generator.description).not.toBe("");
    });

    it("answers no requests with no results", async () => {
      await expect(generate([])).resolves.toEqual([]);
    });

    it("answers in the order of the requests, whatever else is in the call", async () => {
      const contents = ["Say the word red.", "Count: one, two,", "What is the capital of France?"];
      const together = await generate(contents.map((content) => request(content)));
      expect(together).toHaveLength(3);
      for (const [index, content] of contents.entries()) {
        const [alone] = await generate([request(content)]);
        expect(completionsOf(together[index])[0]?.text).toBe(completionsOf(alone)[0]?.text);
      }
    });

    it("is deterministic at temperature 0 and for an equal seed", async () => {
      for (const temperature of [0, 1]) {
        const [first] = await generate([request("Tell me a story.", { temperature, seed: 11 })]);
        const [second] = await generate([request("Tell me a story.", { temperature, seed: 11 })]);
        expect(completionsOf(first)).toEqual(completionsOf(second));
      }
    });

    it("gives as many completions as asked for", async () => {
      const [result] = await generate([
        request("Tell me a story.", { count: 3, temperature: 1, seed: 5 }),
      ]);
      expect(completionsOf(result)).toHaveLength(3);
    });

    it("stops at maxTokens and says so", async () => {
      const [result] = await generate([
        request("Write the numbers from one to one hundred in words.", { maxTokens: 2 }),
      ]);
      const [completion] = completionsOf(result);
      expect(completion?.stopReason).toBe("length");
      expect(completion?.tokens?.length ?? 2).toBe(2);
    });

    it("takes text of any script, empty text and earlier turns", async () => {
      const results = await generate([
        request("日本語 😀 👩‍💻 مرحبا e\u0301 \u0000 <|im_end|>"),
        request(""),
        {
          ...request("And now?"),
          messages: [
            { role: "system", content: "You are brief." },
            { role: "user", content: "Hello 🇩🇪" },
            { role: "assistant", content: "Hi ✨" },
            { role: "user", content: "And now?" },
          ],
        },
      ]);
      expect(results.map(({ status }) => status)).toEqual(["completed", "completed", "completed"]);
    });

    it("gives a log-probability for each token, where it gives tokens", async () => {
      const [result] = await generate([request("Tell me a story.", { temperature: 1 })]);
      for (const { tokens, logProbs } of completionsOf(result)) {
        expect(logProbs?.length).toBe(tokens?.length);
        expect(logProbs?.every((value) => value <= 0)).not.toBe(false);
      }
    });

    it("makes a refused call a failed result beside results that stand", async () => {
      if (subject === undefined) throw new Error("the generator did not start");
      const [before, refused, after] = await generate([
        request("Say the word red."),
        subject.refused,
        request("Say the word red."),
      ]);
      expect(refused?.status).toBe("failed");
      expect(refused?.status === "failed" ? refused.reason : "").not.toBe("");
      expect(completionsOf(before)).toEqual(completionsOf(after));
    });
  });
}

/** What every Reranker must do (spec/reranker.ts), as a vitest suite. */
export function describeRerankerContract(
  name: string,
  start: () => Promise<{ readonly reranker: Reranker; readonly stop?: () => Promise<void> }>,
): void {
  describe(`Reranker contract: ${name}`, { timeout: 60_000 }, () => {
    let subject: Awaited<ReturnType<typeof start>> | undefined;
    beforeAll(async () => {
      subject = await start();
    });
    afterAll(async () => {
      await subject?.stop?.();
    });
    const query = "Where does Anna live now?";
    const texts = [
      "Anna moved to a lake",
      "",
      "Rex is a dog",
      "日本語 😀 👩‍💻 e\u0301",
      "Anna has Rex",
    ];
    const score = (asked: readonly string[], about = query): Promise<readonly number[]> => {
      if (subject === undefined) throw new Error("the reranker did not start");
      return subject.reranker.score(about, asked);
    };
    const expectClose = (found: readonly number[], expected: readonly number[]): void => {
      expect(found).toHaveLength(expected.length);
      // The rounding of a batch of another shape.
      for (const [index, value] of expected.entries()) expect(found[index]).toBeCloseTo(value, 4);
    };

    it("has a description", () => {
      expect(subject?.reranker.description).not.toBe("");
    });

    it("gives no texts no scores", async () => {
      await expect(score([])).resolves.toEqual([]);
    });

    it("gives each text its score, in the order of the texts, whatever else is in the call", async () => {
      const together = await score(texts);
      expect(together.every(Number.isFinite)).toBe(true);
      const alone = await Promise.all(texts.map((text) => score([text])));
      expectClose(together, alone.flat());
      expectClose((await score(texts.toReversed())).toReversed(), together);
      expect(new Set(together).size).toBeGreaterThan(1);
    });

    it("gives the same call the same scores, and equal texts equal ones", async () => {
      expect(await score(texts)).toEqual(await score(texts));
      const twice = await score(texts.flatMap((text) => [text, text]));
      expect(twice.filter((_, index) => index % 2 === 0)).toEqual(
        twice.filter((_, index) => index % 2 === 1),
      );
    });

    it("asks about the query: another one gives other scores", async () => {
      expect(await score(texts, "dog 🐕")).not.toEqual(await score(texts));
    });

    it("takes more texts than a server takes in one call, and texts that are too long", async () => {
      const many = Array.from({ length: 100 }, (_, index) => `Anna saw ${index} dogs`);
      const scores = await score(many);
      expect(scores).toHaveLength(100);
      expectClose(scores.slice(98), await score(many.slice(98)));
      expect(await score(["dog ".repeat(3000)])).toHaveLength(1);
    });
  });
}
