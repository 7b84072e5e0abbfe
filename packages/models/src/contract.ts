import type {
  GenerateRequest,
  GenerateResult,
  GeneratedText,
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
