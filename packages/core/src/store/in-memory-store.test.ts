import { describeMemoryStore } from "../testing/memory-store-contract.ts";
import { createInMemoryStore } from "./in-memory-store.ts";

describeMemoryStore(
  "the in-memory store",
  () => ({ open: () => Promise.resolve(createInMemoryStore()) }),
  { isDurable: false },
);
