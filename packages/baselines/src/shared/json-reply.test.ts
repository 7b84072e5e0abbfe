import { describe, expect, it } from "vitest";
import { z } from "zod";
import { listedReplies } from "../testing/listed-replies.ts";
import { systemOptionsFor } from "../testing/system-options.ts";
import { askForJson, countThatFits, objectConstraint } from "./json-reply.ts";

describe("a reply that should be one JSON object", () => {
  const ask = (reply: string) =>
    askForJson(systemOptionsFor({ generator: listedReplies(reply) }), {
      messages: [{ role: "user", content: "?" }],
      purpose: "test",
      schema: z.object({ word: z.string() }),
      constraint: objectConstraint({ word: { type: "string" } }),
    });

  it.each(['{"word": "犬"}', 'Here:\n```json\n{"word": "犬", "more": 1}\n```'])(
    "is read: %j",
    async (text) => {
      expect(await ask(text)).toEqual({ status: "parsed", value: { word: "犬" } });
    },
  );

  it.each(["", "no", '{"word": ', '} {"', '{"word": 3}', "{}", '{"word": "a"} {"word": "b"}'])(
    "is kept as it is where it cannot be read: %j",
    async (text) => {
      expect(await ask(text)).toEqual({ status: "unparsable", text });
    },
  );
});

it.each([
  // 10 tokens for prompt and reply, 4 of them for the reply: 6 words.
  [9, 6],
  [6, 6],
  [3, 3],
  [1, 1],
  [0, 0],
])("of %i items, %i leave room for the reply", (count, expected) => {
  const options = systemOptionsFor({ contextTokens: 10, replyTokens: 4 });
  const render = (shown: number) => [
    { role: "user" as const, content: Array.from({ length: shown }, () => "word").join(" ") },
  ];
  expect(countThatFits(options, count, render)).toBe(expected);
});

it("one item is shown even where there is no room", () => {
  const options = systemOptionsFor({ contextTokens: 4, replyTokens: 4 });
  expect(countThatFits(options, 3, () => [{ role: "user", content: "word" }])).toBe(1);
});
