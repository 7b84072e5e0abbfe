import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseJson } from "@memory-r1/spec";
import { expect, it } from "vitest";
import { z } from "zod";
import { createJsonlSchemas } from "./json-schema.ts";

const folder = fileURLToPath(new URL("../../schema/", import.meta.url));

it("is what the committed files say (else: pnpm --filter @memory-r1/datasets schema)", () => {
  const committed = Object.fromEntries(
    readdirSync(folder).map((name) => [
      name,
      parseJson(readFileSync(`${folder}${name}`, "utf8"), z.unknown(), name),
    ]),
  );
  expect(committed).toEqual(createJsonlSchemas());
});

it("says what is required, what is allowed, and what each field means", () => {
  const { "conversation.schema.json": conversation, "question.schema.json": question } =
    createJsonlSchemas();
  expect(conversation).toMatchObject({
    $schema: "https://json-schema.org/draft/2020-12/schema",
    additionalProperties: false,
    required: ["id", "sessions"],
    properties: {
      split: { enum: ["train", "validation", "test"] },
      sessions: { items: { required: ["date", "turns"], additionalProperties: false } },
    },
  });
  expect(question).toMatchObject({
    required: ["conversationId", "text"],
    properties: { answer: { description: expect.stringContaining("right answer") } },
  });
});
