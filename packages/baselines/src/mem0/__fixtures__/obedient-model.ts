import { parseJson, type TextGenerator } from "@memory-r1/spec";
import { z } from "zod";
import { createScriptedModel } from "../../testing/scripted-model.ts";

/**
 * A model that does what Mem0's two prompts ask, without understanding: every line of the user is a fact, and every fact
 * that no shown memory holds is added. Its reply depends on the request alone.
 */
export function createObedientMem0Model(): TextGenerator {
  return createScriptedModel(({ messages }) => replyTo(messages.at(-1)?.content ?? ""));
}

function replyTo(prompt: string): string {
  const conversation = /^Conversation:\n([\s\S]*)$/m.exec(prompt)?.[1];
  if (conversation !== undefined) {
    const facts = conversation
      .split(/\n(?=user: |assistant: )/)
      .filter((line) => line.startsWith("user: "))
      .map((line) => line.slice("user: ".length));
    return JSON.stringify({ facts });
  }
  const shown = jsonAfter("Memories: ", prompt, z.array(z.object({ text: z.string() })));
  const facts = jsonAfter("New facts: ", prompt, z.array(z.string()));
  const known = new Set(shown.map(({ text }) => text));
  return JSON.stringify({
    memory: facts.map((text, index) => ({
      id: String(shown.length + index),
      text,
      event: known.has(text) ? "NONE" : "ADD",
    })),
  });
}

/** The JSON of the last line that begins with `label`. */
function jsonAfter<T>(label: string, prompt: string, schema: z.ZodType<T>): T {
  const line = prompt.slice(prompt.lastIndexOf(label) + label.length).split("\n")[0] ?? "";
  return parseJson(line, schema, label);
}
