export * from "./memory-system-contract.ts";
