import { addEverythingManager, createBm25Retriever, createMemoryR1System } from "@memory-r1/core";
import type { MemorySystem, TextGenerator } from "@memory-r1/spec";
import { expect, it } from "vitest";
import { createObedientMem0Model } from "./mem0/__fixtures__/obedient-model.ts";
import { createObedientMem0NpmModel } from "./mem0-npm/__fixtures__/obedient-model.ts";
import { createCooperativeLangMemModel } from "./langmem/__fixtures__/cooperative-model.ts";
import { createCooperativeMemGptModel } from "./memgpt/__fixtures__/cooperative-model.ts";
import { createObedientAMemModel } from "./a-mem/__fixtures__/obedient-model.ts";
import { createObedientMemoryOsModel } from "./memory-os/__fixtures__/obedient-model.ts";
import { type BaselineName, baselines, createBaseline } from "./registry.ts";
import { type ContractOptions, describeMemorySystem } from "./testing/memory-system-contract.ts";
import { systemOptionsFor } from "./testing/system-options.ts";

/** What a system needs in the suite beside its turns. */
interface Subject {
  /** For systems that ask one: a script that does as it is told. */
  readonly createModel?: () => TextGenerator;
  readonly keepsNothing?: boolean;
  /** Where more is needed than the usual 2,048. */
  readonly contextTokens?: number;
  readonly secondsFor2000Turns?: number;
}

const windows: Subject = { contextTokens: 32_768 };

const subjects: Readonly<Record<BaselineName, Subject>> = {
  "no-memory": { keepsNothing: true },
  "full-context": {},
  "rag-turns": {},
  "rag-observations": {},
  "rag-sessions": {},
  "rag-windows-128-k1": windows,
  "rag-windows-128-k2": windows,
  "rag-windows-256-k1": windows,
  "rag-windows-256-k2": windows,
  "rag-windows-512-k1": windows,
  "rag-windows-512-k2": windows,
  "rag-windows-1024-k1": windows,
  "rag-windows-1024-k2": windows,
  "rag-windows-2048-k1": windows,
  "rag-windows-2048-k2": windows,
  "rag-windows-4096-k1": windows,
  "rag-windows-4096-k2": windows,
  "rag-windows-8192-k1": windows,
  "rag-windows-8192-k2": windows,
  mem0: { createModel: createObedientMem0Model },
  "mem0-npm": {
    createModel: createObedientMem0NpmModel,
    // The package's own instructions are 5,064 words.
    contextTokens: 32_768,
    // It reads its whole store for every batch and tags each memory's parts of speech: 40 seconds on a busy machine.
    secondsFor2000Turns: 240,
  },
  "memgpt-2023": { createModel: createCooperativeMemGptModel },
  "memgpt-2024": { createModel: createCooperativeMemGptModel },
  langmem: { createModel: createCooperativeLangMemModel },
  "a-mem": { createModel: createObedientAMemModel },
  "memory-os": { createModel: createObedientMemoryOsModel },
};

for (const [key, { contextTokens, ...traits }] of Object.entries(subjects)) {
  const name = baselineNamed(key);
  const create = ({ maxItems, generator }: ContractOptions): MemorySystem =>
    createBaseline(name, systemOptionsFor({ count: maxItems, generator, contextTokens }));
  describeMemorySystem(name, create, traits);

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
