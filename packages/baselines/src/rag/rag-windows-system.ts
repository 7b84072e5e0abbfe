import { turnText } from "@memory-r1/core";
import { ConfigError, type MemorySystem } from "@memory-r1/spec";
import type { SystemOptions } from "../system-options.ts";
import { createWindowedText } from "./windowed-text.ts";

/** Tokens of a window in the table of Mem0's paper. */
export const windowSizes = [128, 256, 512, 1024, 2048, 4096, 8192] as const;

export interface RagWindowsOptions extends Pick<
  SystemOptions,
  "retriever" | "countTokens" | "contextTokens" | "replyTokens"
> {
  /** Tokens of a window. */
  readonly size: number;
  /** Windows for a question: 1 or 2. Part of the system, not of the comparison: windows are no memories. */
  readonly windows: 1 | 2;
}

/**
 * Retrieval as in the Mem0 paper (arXiv 2504.19413, table 2; evaluation of mem0ai/mem0 ad98f542f): the whole conversation
 * as one text of lines "date | speaker: text", cut into windows of a fixed number of tokens; the best one or two are shown.
 * Departures: docs/systems.md.
 * @throws ConfigError where the windows and a reply cannot fit the model's context.
 */
export function createRagWindowsSystem(options: RagWindowsOptions): MemorySystem {
  const { retriever, countTokens, size, windows, contextTokens, replyTokens } = options;
  const name = `rag-windows-${size}-k${windows}`;
  if (size * windows + replyTokens > contextTokens) {
    throw new ConfigError(
      `${name}: ${windows} windows of ${size} tokens and a reply of ${replyTokens} do not fit a context of ${contextTokens} tokens. Choose smaller windows, or a larger systems.contextTokens where the model has one.`,
    );
  }
  return {
    name,
    open: () => {
      const text = createWindowedText(size, countTokens);
      let told = 0;
      return Promise.resolve({
        ingest: (turn, { dateText }) => {
          told += 1;
          text.append({
            text: `${dateText} | ${turnText(turn)}\n`,
            turnId: turn.id,
            date: dateText,
          });
          return Promise.resolve();
        },
        context: (question) => retriever.rank(question.text, text.windows(), windows),
        showsBestFirst: true,
        stored: () => Promise.resolve(text.windows()),
        counts: () => ({ operations: { append: told }, unparsable: 0, rejected: 0 }),
      });
    },
  };
}
