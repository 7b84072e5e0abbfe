import { z } from "zod";
import { jsonLines } from "../json-lines.ts";

export const timedSteps = ["ingest", "search", "answer"] as const;
export type TimedStep = (typeof timedSteps)[number];

const timingSchema = z.strictObject({
  /** The memory, or the arm that reads it. */
  name: z.string(),
  step: z.enum(timedSteps),
  milliseconds: z.number(),
});
export type Timing = z.infer<typeof timingSchema>;

/** How long things took by the clock on the wall: never a part of what has to be the same bytes. */
export interface Timings {
  /** Does the work and notes how long it took, unless it says that it took nothing of its own (a replay). */
  time<T>(
    name: string,
    step: TimedStep,
    work: () => Promise<T>,
    options?: {
      /** How many had to wait for it, each as long as it took. */
      readonly count?: number;
      readonly counts?: () => boolean;
    },
  ): Promise<T>;
  /** Everything that was noted, in earlier sittings of the run too. */
  all(): Promise<readonly Timing[]>;
}

/** @param file where they are kept from sitting to sitting; `all` writes what is new. */
export function createTimings(file: string, nowMs: () => number): Timings {
  const log = jsonLines(file, timingSchema);
  let fresh: Timing[] = [];
  return {
    time: async (name, step, work, { count = 1, counts = () => true } = {}) => {
      const startMs = nowMs();
      const result = await work();
      const milliseconds = Math.round((nowMs() - startMs) * 1000) / 1000;
      for (let index = 0; index < count && counts(); index++) {
        fresh.push({ name, step, milliseconds });
      }
      return result;
    },
    all: async () => {
      const earlier = await log.read();
      const written = fresh;
      fresh = [];
      // Whole lines only: what a killed run left of its last line goes.
      await log.keep([...earlier, ...written]);
      return [...earlier, ...written];
    },
  };
}
