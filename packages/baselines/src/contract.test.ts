import { addEverythingManager, createBm25Retriever, createMemoryR1System } from "@memory-r1/core";
import { baselines } from "./registry.ts";
import { describeMemorySystem } from "./testing/memory-system-contract.ts";

for (const [name, create] of Object.entries(baselines)) {
  describeMemorySystem(name, ({ maxItems }) =>
    create({ retriever: createBm25Retriever(), count: maxItems }),
  );
}

describeMemorySystem("memory-r1 with the add-everything Manager", ({ maxItems }) =>
  createMemoryR1System({
    agent: addEverythingManager,
    retriever: createBm25Retriever(),
    selection: { mode: "overall", count: maxItems },
  }),
);
