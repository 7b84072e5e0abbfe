import type { ChatMessage, Constraint, MemoryEntry } from "@memory-r1/spec";
import type { MemoryBank } from "../bank/memory-bank.ts";
import type { Retriever } from "../retrieval/retriever.ts";
import type { FactToDecide, ParsedOperations } from "./formats/manager-format.ts";
import { type ManagerFormatName, managerFormats } from "./formats/registry.ts";

/** One decision: a new fact, and the bank as it is before it. */
export interface ManagerInput {
  readonly bank: MemoryBank;
  readonly fact: FactToDecide;
  /** The session's date text. */
  readonly date: string;
}

export interface ManagerPrompt {
  readonly messages: readonly ChatMessage[];
  /** There where the Manager is constrained. */
  readonly constraint?: Constraint;
  /** The memories of the prompt, best match first; the reply's numbers are positions in this list. */
  readonly shown: readonly MemoryEntry[];
}

/** The Memory Manager as a policy: what is asked of the model, and what its reply means (paper, section 3.1). */
export interface MemoryManager {
  /** The format's name, `-constrained` after it where replies are. */
  readonly name: string;
  readonly maxTokens: number;
  /** @throws ModelCallError where retrieval needs an embedding and cannot get it. */
  prompt(input: ManagerInput): Promise<ManagerPrompt>;
  /** Reads a reply to a prompt that showed `shown`. Never throws on what a model wrote. */
  parse(text: string, shown: readonly MemoryEntry[]): ParsedOperations;
}

export interface MemoryManagerOptions {
  readonly format: ManagerFormatName;
  /** Whether replies are limited to operations that are possible, by a grammar built from the numbers shown. */
  readonly constrained: boolean;
  /** Most memories in a prompt. The authors' client shows 5 for each fact. */
  readonly shownCount: number;
  readonly retriever: Retriever;
  /**
   * Which memories can be shown: those about the fact's participant, or all. Default `participant`: the authors'
   * client keeps one store for each participant, so that one's facts never overwrite the other's.
   */
  readonly scope?: "participant" | "bank";
}

export function createMemoryManager(options: MemoryManagerOptions): MemoryManager {
  const format = managerFormats[options.format];
  return {
    name: options.constrained ? `${options.format}-constrained` : options.format,
    maxTokens: format.maxTokens,
    prompt: async ({ bank, fact, date }) => {
      const candidates =
        options.scope === "bank"
          ? bank.entries()
          : bank.entries().filter((entry) => entry.participant === fact.participant);
      const shown = await options.retriever.rank(fact.text, candidates, options.shownCount);
      const messages = format.messages({ shown, fact, date });
      return options.constrained
        ? { messages, constraint: format.constraint(shown.length), shown }
        : { messages, shown };
    },
    parse: (text, shown) => format.parse(text, shown),
  };
}
