export {
  type ContractOptions,
  type ContractTraits,
  describeMemorySystem,
} from "./memory-system-contract.ts";
export { systemOptionsFor } from "./system-options.ts";
