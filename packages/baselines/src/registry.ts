import type { Retriever } from "@memory-r1/core";
import type { MemorySystem } from "@memory-r1/spec";
import { createRagSystem } from "./rag/rag-system.ts";

/** What the runner hands every baseline, so that all of them retrieve alike and show equally much. */
export interface BaselineOptions {
  readonly retriever: Retriever;
  /** Most context items for a question. */
  readonly count: number;
}

/** Every baseline by name. To add one: a folder beside `rag`, and a line here; the contract suite then runs over it. */
export const baselines = {
  "rag-turns": (options) => createRagSystem({ ...options, unit: "turn" }),
  "rag-observations": (options) => createRagSystem({ ...options, unit: "observation" }),
} as const satisfies Readonly<Record<string, (options: BaselineOptions) => MemorySystem>>;

export type BaselineName = keyof typeof baselines;

export function createBaseline(name: BaselineName, options: BaselineOptions): MemorySystem {
  return baselines[name](options);
}
