import type { MemoryEntry } from "@memory-r1/spec";
import { renderPrompt } from "../../prompts/prompts.ts";
import {
  type ManagerFormat,
  maxMemoryCharacters,
  oneLine,
  type ParsedOperations,
  unparsable,
} from "./manager-format.ts";

const firstLabel = 1;

/**
 * One operation on one line: `ADD: text`, `UPDATE 2: text`, `DELETE 2` or `NOOP`. For models that are too small for
 * the JSON contract; worked examples come as earlier turns of the chat, and only the last turn varies, so that all
 * prompts share their prefix. Dates and participants are left out: facts name their people, and a newer fact wins.
 */
export const compactFormat: ManagerFormat = {
  maxTokens: 64,
  messages: ({ shown, fact }) =>
    renderPrompt("manager-compact", {
      memories:
        shown.map((entry, index) => `${index + firstLabel}. ${oneLine(entry.text)}`).join("\n") ||
        "(none)",
      fact: oneLine(fact.text),
    }),
  constraint: (shownCount) => ({ type: "regex", value: grammar(shownCount) }),
  parse: parseCompact,
};

/** Rust syntax. With nothing shown, only ADD and NOOP are possible. */
function grammar(shownCount: number): string {
  const text = `\\S[^\\r\\n]{0,${maxMemoryCharacters - 1}}`;
  const alternatives = [`ADD: ${text}`, "NOOP"];
  if (shownCount > 0) {
    const labels = Array.from({ length: shownCount }, (_, index) => index + firstLabel).join("|");
    alternatives.push(`UPDATE (${labels}): ${text}`, `DELETE (${labels})`);
  }
  return `(${alternatives.join("|")})`;
}

/** One operation is one line: of two lines, which one was meant is not ours to guess. */
function parseCompact(text: string, shown: readonly MemoryEntry[]): ParsedOperations {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  const line = lines[0]?.trim();
  if (line === undefined) return unparsable("the reply is empty");
  if (lines.length > 1) return unparsable(`${lines.length} lines where one is asked for`);
  if (line === "NOOP") return { status: "parsed", operations: [{ kind: "NOOP" }] };
  const added = /^ADD:(.*)$/.exec(line)?.[1]?.trim();
  if (added !== undefined) {
    return added === ""
      ? unparsable("ADD without a text")
      : { status: "parsed", operations: [{ kind: "ADD", text: added }] };
  }
  const target = /^(?:UPDATE|DELETE) (\d+)(?::(.*))?$/.exec(line);
  if (target === null) return unparsable("no line of the form ADD, UPDATE, DELETE or NOOP");
  const entry = shown[Number(target[1]) - firstLabel];
  if (entry === undefined) return unparsable(`memory ${target[1]} was not shown`);
  if (line.startsWith("DELETE")) {
    return target[2] === undefined
      ? { status: "parsed", operations: [{ kind: "DELETE", id: entry.id }] }
      : unparsable("DELETE with a text");
  }
  const updated = target[2]?.trim() ?? "";
  return updated === ""
    ? unparsable("UPDATE without a text")
    : { status: "parsed", operations: [{ kind: "UPDATE", id: entry.id, text: updated }] };
}
