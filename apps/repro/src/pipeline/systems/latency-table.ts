import type { TableData } from "@memory-r1/report";
import type { Experiment } from "../../experiment.ts";
import { memoryName, readingArms, reranks } from "./arm-memory.ts";
import { type TimedStep, timedSteps, type Timing } from "./timings.ts";

/** Median and 95th percentile of what each arm's steps took, in milliseconds of the clock on the wall. Pure. */
export function latencyTable(experiment: Experiment, timings: readonly Timing[]): TableData {
  const count = (key: string, label: string) => ({ key, label, kind: "count" as const });
  return {
    title: "Latency in milliseconds",
    columns: [
      { key: "system", label: "System", kind: "text" },
      { key: "arm", label: "Arm", kind: "text" },
      ...timedSteps.flatMap((step) => [
        count(`${step}Count`, `${step}, samples`),
        count(`${step}P50`, "p50"),
        count(`${step}P95`, "p95"),
      ]),
    ],
    rows: readingArms(experiment.evaluation.arms).map((arm) => {
      const of = (step: TimedStep): Record<string, number | undefined> => {
        // A memory that is read as a store is not asked: what it took to answer others is not this arm's.
        const isOwn = reranks(arm) && step !== "ingest";
        const names = isOwn ? [arm.name] : [arm.name, memoryName(arm)];
        const values = timings
          .filter((timing) => timing.step === step && names.includes(timing.name))
          .map(({ milliseconds }) => milliseconds)
          .toSorted((one, other) => one - other);
        return {
          [`${step}Count`]: values.length,
          [`${step}P50`]: percentile(values, 0.5),
          [`${step}P95`]: percentile(values, 0.95),
        };
      };
      return {
        system: arm.system,
        arm: arm.variant,
        ...of("ingest"),
        ...of("search"),
        ...of("answer"),
      };
    }),
    notes: [
      "Wall clock, which no two runs share. A call of the chat model lasts as long as the batch that it is decoded in, with the other conversations and systems: not what a system takes alone.",
      "A Manager is timed by batch of facts, every other system by turn. Replies that a resumed run had kept are not timed again.",
    ],
  };
}

/** By nearest rank: the smallest value that at least this share of all is not above. Undefined of nothing. */
export function percentile(sorted: readonly number[], share: number): number | undefined {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
}
