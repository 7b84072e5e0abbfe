import type { GenerateRequest } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { describeTextGeneratorContract } from "./contract.ts";
import { createScriptedGenerator } from "./testing.ts";

const request = (content: string, more: Partial<GenerateRequest> = {}): GenerateRequest => ({
  messages: [{ role: "user", content }],
  maxTokens: 8,
  temperature: 0,
  seed: 3,
  ...more,
});

describeTextGeneratorContract("scripted", () =>
  Promise.resolve({
    generator: createScriptedGenerator(({ messages, maxTokens }) =>
      maxTokens > 1_000 ? { failed: "too long" } : (messages.at(-1)?.content ?? ""),
    ),
    refused: request("hello", { maxTokens: 1_000_000 }),
  }),
);

describe("createScriptedGenerator", () => {
  it("asks the script once for each completion, and keeps the requests", async () => {
    const generator = createScriptedGenerator(
      ({ messages }, completion) => `${messages[0]?.content ?? ""}-${completion}`,
      { description: "two lines" },
    );
    const results = await generator.generate([request("a", { count: 2 }), request("b")]);
    expect(results).toEqual([
      {
        status: "completed",
        completions: [
          { text: "a-0", stopReason: "stop" },
          { text: "a-1", stopReason: "stop" },
        ],
      },
      { status: "completed", completions: [{ text: "b-0", stopReason: "stop" }] },
    ]);
    expect(generator.requests.map(({ messages }) => messages[0]?.content)).toEqual(["a", "b"]);
    expect(generator.description).toBe("two lines");
  });

  it("cuts off after maxTokens words, and passes on whole completions as they are", async () => {
    const generator = createScriptedGenerator(({ messages }) =>
      messages[0]?.content === "whole"
        ? { text: "x y z", stopReason: "stop", tokens: [1], logProbs: [-1] }
        : "one  two\nthree",
    );
    const results = await generator.generate([
      request("cut", { maxTokens: 2 }),
      request("whole", { maxTokens: 1 }),
    ]);
    expect(results).toMatchObject([
      { completions: [{ text: "one  two", stopReason: "length" }] },
      { completions: [{ text: "x y z", stopReason: "stop", tokens: [1], logProbs: [-1] }] },
    ]);
  });
});
