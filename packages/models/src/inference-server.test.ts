import type { GenerateRequest } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import {
  createInferenceGenerator,
  type InferenceGeneratorOptions,
  type TextPiece,
} from "./inference-generator.ts";

// An OpenAI-compatible server of one's own, and the name of a model on it: llama.cpp takes any.
// oxlint-disable-next-line node/no-process-env
const endpointUrl = process.env["MEMORY_R1_TEST_ENDPOINT"];
// oxlint-disable-next-line node/no-process-env
const model = process.env["MEMORY_R1_TEST_MODEL"] ?? "default";

const red: GenerateRequest = {
  messages: [{ role: "user", content: "Name a colour and say in one sentence what has it. 🎨" }],
  maxTokens: 24,
  temperature: 0,
  seed: 1,
};

describe.skipIf(endpointUrl === undefined)(
  "a server (skipped unless MEMORY_R1_TEST_ENDPOINT holds its address)",
  { timeout: 120_000 },
  () => {
    const open = (options: Partial<InferenceGeneratorOptions> = {}) =>
      createInferenceGenerator({ model, endpointUrl: endpointUrl ?? "", ...options });

    it("answers, and streams the same in pieces", async () => {
      const whole = await open().generate([red]);
      expect(whole).toMatchObject([{ status: "completed", completions: [{ text: /\w/ }] }]);
      const pieces: TextPiece[] = [];
      const streamed = await open({ onPiece: (piece) => pieces.push(piece) }).generate([red]);
      expect(streamed).toEqual(whole);
      const text = pieces.map((piece) => piece.text).join("");
      expect(streamed).toMatchObject([{ completions: [{ text }] }]);
    });

    it("ends a reply after maxTokens, and says so", async () => {
      const [result] = await open().generate([{ ...red, maxTokens: 2 }]);
      expect(result).toMatchObject({
        status: "completed",
        completions: [{ stopReason: "length" }],
      });
    });

    it("holds a reply to a JSON schema", async () => {
      const schema = {
        type: "object",
        properties: { colour: { enum: ["red", "blue"] }, sure: { type: "boolean" } },
        required: ["colour", "sure"],
        additionalProperties: false,
      };
      const generator = open();
      const [result] = await generator.generate([
        {
          ...red,
          maxTokens: 200,
          constraint: { type: "json_schema", value: JSON.stringify(schema) },
        },
      ]);
      const text = result?.status === "completed" ? result.completions[0]?.text : undefined;
      expect(JSON.parse(text ?? "")).toEqual({
        colour: expect.stringMatching(/^(red|blue)$/),
        sure: expect.any(Boolean),
      });
      expect(generator.statistics().unconstrained).toBe(0);
    });
  },
);
