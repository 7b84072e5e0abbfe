import type { Constraint, MemoryOperation } from "@memory-r1/spec";
import { z } from "zod";
import {
  lineSchema,
  listSchema,
  objectConstraint,
  objectSchema,
  readJsonObject,
} from "../shared/json-reply.ts";

/** Characters of one fact or memory under a grammar: a merge of two facts fits, a runaway reply does not. */
const maxTextCharacters = 240;
/** Facts of one batch of two messages under a grammar. */
const maxFacts = 8;

export type FactsReply =
  | { readonly status: "parsed"; readonly facts: readonly string[]; readonly rejected: number }
  | { readonly status: "unparsable" };

/** What one reply asks for, on the numbers that the prompt showed. */
export type UpdateReply =
  | {
      readonly status: "parsed";
      readonly operations: readonly NumberedOperation[];
      readonly rejected: number;
    }
  | { readonly status: "unparsable" };

/** An operation whose id, where it has one, is a number of the prompt as the model wrote it. NOOP is Mem0's NONE. */
export type NumberedOperation = MemoryOperation;

const factsSchema = z.object({ facts: z.array(z.unknown()) });
const memorySchema = z.object({ memory: z.array(z.unknown()) });

const textSchema = z.string().trim().min(1);
/** Models write ids as text or as numbers; both name the same memory. */
const idSchema = z.union([z.string(), z.int()]).transform(String);
const itemSchema = z.discriminatedUnion("event", [
  z.object({ event: z.literal("ADD"), text: textSchema }),
  z.object({ event: z.literal("UPDATE"), id: idSchema, text: textSchema }),
  z.object({ event: z.literal("DELETE"), id: idSchema }),
  z.object({ event: z.literal("NONE") }),
]);

/** Reads the reply of the extraction step. Facts that are no text or empty are rejected one by one. */
export function parseFacts(reply: string): FactsReply {
  const read = readJsonObject(reply, factsSchema);
  if (read === undefined) return { status: "unparsable" };
  const facts = read.facts.flatMap((fact) => {
    const text = textSchema.safeParse(fact);
    return text.success ? [text.data] : [];
  });
  return { status: "parsed", facts, rejected: read.facts.length - facts.length };
}

/**
 * Reads the reply of the update step. Entries with another event, without an id where they need one, or with an empty
 * text are rejected one by one, as in the original; the others stand.
 */
export function parseUpdate(reply: string): UpdateReply {
  const read = readJsonObject(reply, memorySchema);
  if (read === undefined) return { status: "unparsable" };
  const operations = read.memory.flatMap((entry): NumberedOperation[] => {
    const item = itemSchema.safeParse(entry);
    if (!item.success) return [];
    switch (item.data.event) {
      case "ADD":
        return [{ kind: "ADD", text: item.data.text }];
      case "UPDATE":
        return [{ kind: "UPDATE", id: item.data.id, text: item.data.text }];
      case "DELETE":
        return [{ kind: "DELETE", id: item.data.id }];
      case "NONE":
        return [{ kind: "NOOP" }];
    }
  });
  return { status: "parsed", operations, rejected: read.memory.length - operations.length };
}

// One line that begins with a visible character: what a grammar allows, the parser must be able to read.
const constrainedText = lineSchema(maxTextCharacters);

/** A grammar of the replies to the extraction step. */
export function factsConstraint(): Constraint {
  return objectConstraint({ facts: listSchema(constrainedText, maxFacts) });
}

/** A grammar of the replies to the update step: no id but those shown, one entry for each memory and each fact. */
export function updateConstraint(shownCount: number, factCount: number): Constraint {
  const numbers = Array.from({ length: shownCount + factCount }, (_, index) => String(index));
  const shown = numbers.slice(0, shownCount);
  const onShown =
    shownCount === 0
      ? []
      : [
          entry("UPDATE", shown, { text: constrainedText, old_memory: constrainedText }),
          entry("DELETE", shown, { text: constrainedText }),
        ];
  const items = {
    anyOf: [
      entry("ADD", numbers.slice(shownCount), { text: constrainedText }),
      ...onShown,
      entry("NONE", numbers, { text: constrainedText }),
    ],
  };
  return objectConstraint({ memory: listSchema(items, numbers.length) });
}

/** Keys in the contract's order: id, text, event, old_memory. A grammar fixes the order in which they are written. */
function entry(
  event: string,
  ids: readonly string[],
  { text, ...rest }: Readonly<Record<"text", object>> & Readonly<Record<string, object>>,
): object {
  return objectSchema({ id: { enum: ids }, text, event: { const: event }, ...rest });
}
