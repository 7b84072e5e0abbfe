import type { ProgressTask } from "../../run-context.ts";

export interface CountingProgress extends ProgressTask {
  /** Units done. */
  count(): number;
}

export function createCountingProgress(): CountingProgress {
  let units = 0;
  return {
    advance: (by = 1) => {
      units += by;
    },
    note: () => undefined,
    done: () => undefined,
    count: () => units,
  };
}
