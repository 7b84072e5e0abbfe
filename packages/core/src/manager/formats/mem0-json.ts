import { HarnessError, type MemoryEntry, type MemoryOperation, parseJson } from "@memory-r1/spec";
import { jsonrepair } from "jsonrepair";
import { z } from "zod";
import { renderPrompt } from "../../prompts/prompts.ts";
import {
  type ManagerFormat,
  maxMemoryCharacters,
  maxOperationsPerReply,
  oneLine,
  type ParsedOperations,
  unparsable,
} from "./manager-format.ts";

const firstLabel = 0;

/** Models write ids as text or as numbers; both name the same memory. */
const idSchema = z.union([z.string(), z.int()]).transform(String);
const textSchema = z.string().trim().min(1, "the text is empty");
const itemSchema = z.discriminatedUnion("event", [
  z.object({ event: z.literal("ADD"), text: textSchema }),
  z.object({ event: z.literal("UPDATE"), id: idSchema, text: textSchema }),
  z.object({ event: z.literal("DELETE"), id: idSchema }),
  z.object({ event: z.literal("NONE") }),
]);
const replySchema = z.object({ memory: z.array(itemSchema) });

/**
 * The paper's contract (adapted from Mem0): one JSON object that lists what each shown memory becomes. `NONE` is NOOP:
 * a reply without any other event is one NOOP. Text around the object, such as a code fence, is passed over; fields
 * that an operation does not need (`old_memory`, an ADD's id) are not read. An object that is closed but no valid JSON
 * (a comma too many, single quotes, keys without quotes) is mended by the library jsonrepair and marked `repaired`; one
 * that was cut off is not, because operations may be missing from it.
 */
export const mem0JsonFormat: ManagerFormat = {
  maxTokens: 2048,
  messages: ({ shown, fact, date }) =>
    renderPrompt("manager-mem0-json", {
      memories: JSON.stringify(
        shown.map((entry, index) => ({ id: String(index + firstLabel), text: entry.text })),
      ),
      participant: oneLine(fact.participant),
      fact: oneLine(fact.text),
      date: oneLine(date),
    }),
  constraint: (shownCount) => ({
    type: "json_schema",
    value: JSON.stringify(replyJsonSchema(shownCount)),
  }),
  parse: parseMem0Json,
};

/** The end of a reply whose list is closed: after it nothing of the list can be missing. */
const closedList = /\]\s*,?\s*\}$/;

type Reply = z.infer<typeof replySchema>;

/** @throws DataFormatError for what is no reply even when it is mended */
function readReply(json: string): { readonly reply: Reply; readonly repaired?: true } {
  try {
    return { reply: parseJson(json, replySchema, "the reply") };
  } catch (error) {
    if (!HarnessError.isInstance(error) || !closedList.test(json)) throw error;
    const mended = mend(json);
    // Valid JSON of another shape stays as it is: the first error says what is wrong with it.
    if (mended === undefined) throw error;
    return { reply: parseJson(mended, replySchema, "the mended reply"), repaired: true };
  }
}

/** Undefined: it cannot be mended, or there is nothing to mend. */
function mend(json: string): string | undefined {
  try {
    const mended = jsonrepair(json);
    return mended === json ? undefined : mended;
  } catch {
    return undefined;
  }
}

function parseMem0Json(text: string, shown: readonly MemoryEntry[]): ParsedOperations {
  const start = text.indexOf("{");
  const end = text.lastIndexOf("}");
  if (start < 0 || end < start) return unparsable("no JSON object");
  let read: ReturnType<typeof readReply>;
  try {
    read = readReply(text.slice(start, end + 1));
  } catch (error) {
    if (!HarnessError.isInstance(error)) throw error;
    return unparsable(error.message);
  }
  const operations: MemoryOperation[] = [];
  for (const item of read.reply.memory) {
    if (item.event === "NONE") continue;
    if (item.event === "ADD") {
      operations.push({ kind: "ADD", text: item.text });
      continue;
    }
    const entry = /^\d+$/.test(item.id) ? shown[Number(item.id) - firstLabel] : undefined;
    if (entry === undefined) return unparsable(`${item.event}: memory "${item.id}" was not shown`);
    operations.push(
      item.event === "UPDATE"
        ? { kind: "UPDATE", id: entry.id, text: item.text }
        : { kind: "DELETE", id: entry.id },
    );
  }
  if (operations.length > maxOperationsPerReply) {
    return unparsable(
      `${operations.length} operations for one fact, at most ${maxOperationsPerReply}`,
    );
  }
  return {
    status: "parsed",
    operations: operations.length > 0 ? operations : [{ kind: "NOOP" }],
    ...(read.repaired === true ? { repaired: true } : {}),
  };
}

/** With nothing shown, only an ADD or an empty list is possible. */
function replyJsonSchema(shownCount: number): object {
  const labels = Array.from({ length: shownCount }, (_, index) => String(index + firstLabel));
  // One line that begins with a visible character: what a grammar allows, `parse` must be able to read.
  const text = { type: "string", pattern: `^\\S.{0,${maxMemoryCharacters - 1}}$` };
  const added = event("ADD", [String(shownCount + firstLabel)], { text });
  const onShown =
    shownCount === 0
      ? []
      : [
          event("UPDATE", labels, { text, old_memory: text }),
          event("DELETE", labels, { text }),
          event("NONE", labels, { text }),
        ];
  return {
    type: "object",
    properties: {
      memory: { type: "array", items: { anyOf: [added, ...onShown] }, maxItems: shownCount + 1 },
    },
    required: ["memory"],
    additionalProperties: false,
  };
}

/** Keys in the contract's order: id, text, event, old_memory. A grammar fixes the order in which they are written. */
function event(
  name: string,
  ids: readonly string[],
  fields: Readonly<Record<string, object>>,
): object {
  const { text, ...rest } = fields;
  const properties = { id: { enum: ids }, text, event: { const: name }, ...rest };
  return {
    type: "object",
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
  };
}
