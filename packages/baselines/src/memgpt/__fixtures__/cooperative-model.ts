import { parseJson, type TextGenerator } from "@memory-r1/spec";
import { z } from "zod";
import { createScriptedModel, toolCall } from "../../testing/scripted-model.ts";

const envelope = z.object({ type: z.string(), message: z.string().optional() });

/** Writes every turn to archival memory in its own words, searches it for a question, and says what it found. */
export function createCooperativeMemGptModel(): TextGenerator {
  return createScriptedModel(({ messages }) => {
    const last = messages.at(-1)?.content ?? "";
    if (messages[0]?.content.startsWith("You summarise") === true) return "They went on talking.";
    const lines = last.split("\n");
    const { type, message = "" } = parseJson(lines.at(-1) ?? "", envelope, "the last message");
    if (type !== "user_message") return toolCall("send_message", { message: lines.at(-2) ?? "" });
    return message.endsWith("?")
      ? toolCall("archival_memory_search", { query: message, request_heartbeat: true })
      : toolCall("archival_memory_insert", { content: message, request_heartbeat: false });
  });
}
