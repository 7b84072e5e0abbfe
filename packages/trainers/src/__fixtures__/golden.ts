import { existsSync, readFileSync } from "node:fs";
import { parseJson } from "@memory-r1/spec";
import { z } from "zod";

/** Values computed by TRL and verl themselves; they lie beside the repository and are no part of it. */
const path = new URL("../../../../../shared/golden/rl/advantages_and_losses.json", import.meta.url);

const matrix = z.array(z.array(z.number()));
const casesSchema = z.object({
  inputs: z.object({
    mask: matrix,
    old_log_prob: matrix,
    log_prob: matrix,
    ref_log_prob: matrix,
    scores: z.array(z.number()),
    group: z.array(z.string()),
    trl_advantages: z.array(z.number()),
    advantages: matrix,
    values: matrix,
    vpreds: matrix,
    returns: matrix,
    token_level_rewards: matrix,
  }),
});
const goldenSchema = z.object({
  cases: z.intersection(casesSchema, z.record(z.string(), z.unknown())),
});

export const goldenMissing = !existsSync(path);
export const goldenNote = goldenMissing ? " (skipped: ../shared/golden is not there)" : "";

export function readGolden(): z.infer<typeof goldenSchema>["cases"] {
  return parseJson(readFileSync(path, "utf8"), goldenSchema, "advantages_and_losses.json").cases;
}

/** The part of a row that its mask covers. */
export function masked(values: readonly number[], mask: readonly number[]): number[] {
  return values.filter((_, index) => mask[index] === 1);
}
