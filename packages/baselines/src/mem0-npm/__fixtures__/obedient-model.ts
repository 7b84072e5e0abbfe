import type { TextGenerator } from "@memory-r1/spec";
import { createScriptedModel } from "../../testing/scripted-model.ts";

/**
 * A model that does what mem0ai's prompt and our instructions ask, without understanding: every new message of the user is
 * a memory, unless it is shown as one. Its reply depends on the request alone.
 */
export function createObedientMem0NpmModel(): TextGenerator {
  return createScriptedModel(({ messages }) => replyTo(messages.at(-1)?.content ?? ""));
}

function replyTo(prompt: string): string {
  const shown = between("\n\n## Existing Memories\n", "\n\n## New Messages\n", prompt);
  const memory = between("\n\n## New Messages\n", "\n\n## Observation Date\n", prompt)
    .split(/\n(?=user: |assistant: )/)
    .filter((line) => line.startsWith("user: "))
    .map((line) => line.slice("user: ".length))
    .filter((text) => !shown.includes(JSON.stringify(text)))
    .map((text, index) => ({ id: String(index), text, attributed_to: "user" }));
  return JSON.stringify({ memory });
}

/** What stands between two headings. The first one counts from the front: what was said may spell it again. */
function between(start: string, end: string, prompt: string): string {
  const from = prompt.indexOf(start) + start.length;
  return prompt.slice(from, prompt.lastIndexOf(end));
}
