import { type ChatMessage, type Constraint, HarnessError, parseJson } from "@memory-r1/spec";
import type { z } from "zod";
import type { SystemOptions } from "../system-options.ts";
import { askModel } from "./ask-model.ts";

/** A reply that was read, or the words of one that could not be. */
export type JsonReply<T> =
  | { readonly status: "parsed"; readonly value: T }
  | { readonly status: "unparsable"; readonly text: string };

/**
 * Asks for one JSON object and reads the reply. Words around the object, such as a code fence, are passed over.
 * @throws ModelCallError where there is no reply
 */
export async function askForJson<T>(
  options: Pick<SystemOptions, "generator" | "replyTokens" | "constrained" | "seed">,
  question: {
    readonly messages: readonly ChatMessage[];
    readonly purpose: string;
    readonly schema: z.ZodType<T>;
    readonly constraint: Constraint;
  },
): Promise<JsonReply<T>> {
  const { text } = await askModel(options, question);
  const value = readJsonObject(text, question.schema);
  return value === undefined ? { status: "unparsable", text } : { status: "parsed", value };
}

/** The object between the first and the last brace of a reply, so that a code fence or a word before it does no harm. */
export function readJsonObject<T>(text: string, schema: z.ZodType<T>): T | undefined {
  const [start, end] = [text.indexOf("{"), text.lastIndexOf("}")];
  if (start < 0 || end < start) return undefined;
  try {
    return parseJson(text.slice(start, end + 1), schema, "the reply");
  } catch (error) {
    if (!HarnessError.isInstance(error)) throw error;
    return undefined;
  }
}

/** A grammar of an object with these fields, all of them there and in this order. */
export function objectConstraint(properties: Readonly<Record<string, object>>): Constraint {
  return { type: "json_schema", value: JSON.stringify(objectSchema(properties)) };
}

/** The JSON schema of an object with these fields and no others. */
export function objectSchema(properties: Readonly<Record<string, object>>): object {
  return {
    type: "object",
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
  };
}

/** The JSON schema of one line of text that begins with a visible character. */
export function lineSchema(maxCharacters: number): object {
  return { type: "string", pattern: `^\\S.{0,${maxCharacters - 1}}$` };
}

/** The JSON schema of a list. */
export function listSchema(items: object, maxItems: number): object {
  return { type: "array", items, maxItems };
}
