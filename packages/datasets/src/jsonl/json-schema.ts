import { z } from "zod";
import { conversationLineSchema, questionLineSchema } from "./schema.ts";

/**
 * The format for the user's own data as JSON Schema, by file name: what an editor or another program checks a line of
 * `conversations.jsonl` and `questions.jsonl` with. What spans lines (ids, evidence, splits) only `verify` can check.
 */
export function createJsonlSchemas(): Readonly<Record<string, z.core.JSONSchema.BaseSchema>> {
  return {
    "conversation.schema.json": z.toJSONSchema(conversationLineSchema, { io: "input" }),
    "question.schema.json": z.toJSONSchema(questionLineSchema, { io: "input" }),
  };
}
