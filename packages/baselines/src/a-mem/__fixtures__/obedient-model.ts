import type { TextGenerator } from "@memory-r1/spec";
import { createScriptedModel } from "../../testing/scripted-model.ts";

/** A model that does as A-Mem's prompts tell it: notes in the words of the turn, each linked with its nearest neighbour. */
export function createObedientAMemModel(): TextGenerator {
  return createScriptedModel(({ messages }) => replyTo(messages.at(-1)?.content ?? ""));
}

function replyTo(prompt: string): string {
  const question = /^Question: ([^]*)$/.exec(prompt)?.[1];
  if (question !== undefined) return JSON.stringify({ keywords: question });
  const turn = /^Date: .*\nTurn: ([^]*)$/.exec(prompt)?.[1];
  if (turn !== undefined) {
    return JSON.stringify({ keywords: wordsOf(turn), context: turn, tags: ["talk"] });
  }
  return JSON.stringify({
    should_evolve: true,
    actions: ["strengthen"],
    suggested_connections: [0],
    tags_to_update: ["talk", "linked"],
    new_context_neighborhood: [],
    new_tags_neighborhood: [],
  });
}

function wordsOf(text: string): readonly string[] {
  return text.match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
}
