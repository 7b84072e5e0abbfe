import type { TextGenerator } from "@memory-r1/spec";
import { createScriptedModel } from "../../testing/scripted-model.ts";

/** A model that does as MemoryOS's prompts tell it, in the words that were said: each turn of a page is a theme. */
export function createObedientMemoryOsModel(): TextGenerator {
  return createScriptedModel(({ messages }) =>
    JSON.stringify(replyTo(messages.at(-1)?.content ?? "")),
  );
}

function replyTo(prompt: string): object {
  if (prompt.startsWith("First piece:")) return { continuous: false };
  const next = /^Overview so far: .*\nNext piece:\n(.*)/.exec(prompt)?.[1];
  if (next !== undefined) return { overview: next };
  const page = /^Date: .*\nConversation:\n([^]*)$/.exec(prompt)?.[1];
  if (page !== undefined) return { summaries: themesOf(page) };
  const [, person = "", said = ""] =
    /^Person: (.*)\n[^]*?Conversation:\n([^]*)$/.exec(prompt) ?? [];
  if (prompt.includes("\nProfile so far:")) return { profile: `${person} takes part in the talk.` };
  const lines = said.split("\n").filter((line) => line.includes(": "));
  return {
    private_facts: lines.filter((line) => line.startsWith(`${person}: `)),
    assistant_knowledge: lines.filter((line) => !line.startsWith(`${person}: `)),
  };
}

function themesOf(page: string): readonly object[] {
  const [first = "", ...rest] = page.split("\n");
  return [first, rest.join("\n")]
    .filter((content) => content.trim() !== "")
    .map((content) => ({ theme: "talk", keywords: [], content }));
}
