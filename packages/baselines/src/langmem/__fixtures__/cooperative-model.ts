import type { TextGenerator } from "@memory-r1/spec";
import { createScriptedModel, toolCall } from "../../testing/scripted-model.ts";

/** Creates a memory of every turn in its own words. */
export function createCooperativeLangMemModel(): TextGenerator {
  return createScriptedModel(({ messages }) => {
    const last = messages.at(-1)?.content ?? "";
    const content = /^[^|]* \| (.*)$/su.exec(last)?.[1];
    return content === undefined
      ? toolCall("reply", { message: "done" })
      : toolCall("manage_memory", { action: "create", content });
  });
}
