import { turnText } from "@memory-r1/core";
import { ConfigError, type ContextItem, type MemorySystem } from "@memory-r1/spec";
import { longestPrefix } from "../shared/prompt-room.ts";
import type { SystemOptions } from "../system-options.ts";

/** Tokens that are left for the comparison's answer prompt and the question. */
export const answerPromptTokens = 512;

/**
 * The conversation itself as context: one item with every turn, oldest first, as lines "date | speaker: text". What does not
 * fit contextTokens - replyTokens - {@link answerPromptTokens} is dropped from the old end, whole turns at a time, and
 * counted as `drop`; the newest turn always stays, and where it alone is too long, its end is cut off and counted as `cut`.
 * Tokens are counted line by line. The item's date is the newest turn's. Departures: docs/systems.md.
 * @throws ConfigError where nothing is left for the conversation.
 */
export function createFullContextSystem(
  options: Pick<SystemOptions, "countTokens" | "contextTokens" | "replyTokens">,
): MemorySystem {
  const { countTokens, contextTokens, replyTokens } = options;
  const budget = contextTokens - replyTokens - answerPromptTokens;
  if (budget < 1) {
    throw new ConfigError(
      `full-context: a context of ${contextTokens} tokens less a reply of ${replyTokens} and ${answerPromptTokens} for the answer prompt leaves no room for the conversation. Set a larger systems.contextTokens or a smaller systems.replyTokens.`,
    );
  }
  return {
    name: "full-context",
    open: () => {
      const lines: { readonly item: ContextItem; readonly tokens: number }[] = [];
      const operations = { append: 0, drop: 0, cut: 0 };
      let total = 0;
      const stored = (): readonly ContextItem[] => lines.map(({ item }) => item);
      return Promise.resolve({
        ingest: (turn, { dateText }) => {
          const line = `${dateText} | ${turnText(turn)}\n`;
          const text = line.slice(0, longestPrefix(line, budget, countTokens));
          operations.append += 1;
          if (text !== line) operations.cut += 1;
          const tokens = countTokens(text);
          lines.push({ item: { text, date: dateText, sourceTurnIds: [turn.id] }, tokens });
          total += tokens;
          while (total > budget && lines.length > 1) {
            total -= lines.shift()?.tokens ?? 0;
            operations.drop += 1;
          }
          return Promise.resolve();
        },
        context: () => Promise.resolve(joined(stored())),
        stored: () => Promise.resolve(stored().map(withoutLineBreak)),
        counts: () => ({ operations: { ...operations }, unparsable: 0, rejected: 0 }),
      });
    },
  };
}

function withoutLineBreak(item: ContextItem): ContextItem {
  return { ...item, text: item.text.trimEnd() };
}

function joined(items: readonly ContextItem[]): readonly ContextItem[] {
  const newest = items.at(-1);
  if (newest === undefined) return [];
  return [
    {
      text: items
        .map(({ text }) => text)
        .join("")
        .trimEnd(),
      date: newest.date,
      sourceTurnIds: items.flatMap(({ sourceTurnIds }) => sourceTurnIds),
    },
  ];
}
