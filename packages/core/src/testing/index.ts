export { describeMemoryStore, exampleSource, type StoreDatabase } from "./memory-store-contract.ts";
