import { describe, expect, it } from "vitest";
import { z } from "zod";
import { listedReplies } from "../testing/listed-replies.ts";
import { systemOptionsFor } from "../testing/system-options.ts";
import { askForJson, objectConstraint } from "./json-reply.ts";

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
