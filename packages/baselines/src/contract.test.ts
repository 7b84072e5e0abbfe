import { addEverythingManager, createBm25Retriever, createMemoryR1System } from "@memory-r1/core";
import type { MemorySystem, TextGenerator } from "@memory-r1/spec";
import { expect, it } from "vitest";
import { createCooperativeLangMemModel } from "./langmem/__fixtures__/cooperative-model.ts";
import { createCooperativeMemGptModel } from "./memgpt/__fixtures__/cooperative-model.ts";
import { type BaselineName, baselines, createBaseline } from "./registry.ts";
import { type ContractOptions, describeMemorySystem } from "./testing/memory-system-contract.ts";
import { systemOptionsFor } from "./testing/system-options.ts";

/** What the chat model says in the suite: for systems that ask one, a script that does as it is told. */
const models: Readonly<Record<BaselineName, (() => TextGenerator) | undefined>> = {
  "rag-turns": undefined,
  "rag-observations": undefined,
  "memgpt-2023": createCooperativeMemGptModel,
  "memgpt-2024": createCooperativeMemGptModel,
  langmem: createCooperativeLangMemModel,
};

for (const [key, createModel] of Object.entries(models)) {
  const name = baselineNamed(key);
  const create = ({ maxItems, generator }: ContractOptions): MemorySystem =>
    createBaseline(name, systemOptionsFor({ count: maxItems, generator }));
  describeMemorySystem(name, create, { createModel });

  it(`${name} is in the registry under its own name`, () => {
    expect(create({ maxItems: 2 }).name).toBe(name);
  });
}

function baselineNamed(key: string): BaselineName {
  if (isBaselineName(key)) return key;
  throw new RangeError(`${key} is no system of the registry`);
}

function isBaselineName(key: string): key is BaselineName {
  return Object.hasOwn(baselines, key);
}

describeMemorySystem("memory-r1 with the add-everything Manager", ({ maxItems }) =>
  createMemoryR1System({
    agent: addEverythingManager,
    retriever: createBm25Retriever(),
    selection: { mode: "overall", count: maxItems },
  }),
);
