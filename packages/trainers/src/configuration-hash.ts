import { createHash } from "node:crypto";
import type { TrainingOptions } from "./training-loop.ts";

/**
 * The hash under which a run of an algorithm continues another. How far to train and how often to write checkpoints
 * changes no step, so it is not in it; `data` is whatever else the algorithm learns from.
 */
export function hashConfiguration(
  algorithm: string,
  config: { readonly steps: number; readonly checkpointEvery: number },
  {
    stage,
    runSeed,
    fingerprint,
    initialWeightsPath,
    data,
  }: Pick<TrainingOptions, "stage" | "runSeed" | "fingerprint" | "initialWeightsPath"> & {
    readonly data: string;
  },
): string {
  const { steps: _steps, checkpointEvery: _checkpointEvery, ...deciding } = config;
  const start = initialWeightsPath ?? null;
  const identity = [algorithm, 1, deciding, stage, runSeed, fingerprint, data, start];
  return createHash("sha256").update(JSON.stringify(identity)).digest("hex");
}
