import { deriveSeed, type MemoryOperation, type TextGenerator } from "@memory-r1/spec";
import type { ManagerInput, MemoryManager } from "./memory-manager.ts";

/**
 * What was decided about a fact. `unparsable`: the model's reply makes no sense, which is counted and changes nothing.
 * `failed`: there is no reply; the fact is not decided and should be tried again.
 */
export type ManagerDecision =
  | {
      readonly status: "decided";
      readonly operations: readonly MemoryOperation[];
      /** The model's reply; absent where no model was asked. */
      readonly raw?: string;
      /** The reply was mended before it could be read. */
      readonly repaired?: true;
    }
  | { readonly status: "unparsable"; readonly reason: string; readonly raw: string }
  | { readonly status: "failed"; readonly reason: string };

/** Anything that can run a bank: a policy with its model, or a rule. */
export interface ManagerAgent {
  readonly name: string;
  decide(input: ManagerInput): Promise<ManagerDecision>;
}

/** Keeps every fact as it is. No model, no loss, no merging: the baseline that a trained Manager has to beat. */
export const addEverythingManager: ManagerAgent = {
  name: "add-everything",
  decide: ({ fact }) =>
    Promise.resolve({ status: "decided", operations: [{ kind: "ADD", text: fact.text }] }),
};

export interface ManagerAgentOptions {
  readonly manager: MemoryManager;
  readonly generator: TextGenerator;
  /** Default 0, greedy, as the paper evaluates. */
  readonly temperature?: number;
  readonly seed: number;
}

/** A Memory Manager with a model behind it: one call per fact. */
export function createManagerAgent({
  manager,
  generator,
  temperature = 0,
  seed,
}: ManagerAgentOptions): ManagerAgent {
  return {
    name: manager.name,
    decide: async (input) => {
      const { messages, constraint, shown } = await manager.prompt(input);
      const [result] = await generator.generate([
        {
          messages,
          maxTokens: manager.maxTokens,
          temperature,
          seed: deriveSeed(seed, input.bank.journal().length, input.fact.text),
          ...(constraint === undefined ? {} : { constraint }),
        },
      ]);
      if (result?.status === "failed") return result;
      const raw = result?.completions[0]?.text;
      if (raw === undefined)
        return { status: "failed", reason: "the generator gave no completion" };
      const parsed = manager.parse(raw, shown);
      return parsed.status === "parsed"
        ? {
            status: "decided",
            operations: parsed.operations,
            raw,
            ...(parsed.repaired === true ? { repaired: true } : {}),
          }
        : { status: "unparsable", reason: parsed.reason, raw };
    },
  };
}
