import {
  type JournalRecord,
  type MemoryOperation,
  MemoryOperationError,
  type OperationSource,
} from "@memory-r1/spec";
import type { MemoryBank } from "./memory-bank.ts";

/** What became of the operations of one reply. */
export interface AppliedOperations {
  readonly applied: readonly JournalRecord[];
  /** Operations that this bank cannot take, such as a second DELETE of one id. They changed nothing. */
  readonly rejected: readonly { readonly operation: MemoryOperation; readonly reason: string }[];
}

/** Applies operations in order. One that is impossible is counted and skipped: what a model wrote never throws. */
export function applyOperations(
  bank: MemoryBank,
  operations: readonly MemoryOperation[],
  source: OperationSource,
): AppliedOperations {
  const applied: JournalRecord[] = [];
  const rejected: { operation: MemoryOperation; reason: string }[] = [];
  for (const operation of operations) {
    try {
      applied.push(bank.apply(operation, source));
    } catch (error) {
      if (!(error instanceof MemoryOperationError)) throw error;
      rejected.push({ operation, reason: error.message });
    }
  }
  return { applied, rejected };
}
