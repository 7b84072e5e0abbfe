import { createHash } from "node:crypto";
import { mersenne } from "pure-rand/generator/mersenne";

/** A source of uniform numbers in [0, 1). Always a parameter, never global. */
export type Random = () => number;

/** A 31-bit seed that depends on every part: `deriveSeed(runSeed, "grpo", step, taskId)`. */
export function deriveSeed(...parts: readonly (string | number)[]): number {
  return createHash("sha256").update(JSON.stringify(parts)).digest().readUInt32BE(0) >>> 1;
}

/**
 * A deterministic generator (MT19937): equal seeds give equal sequences on every machine. It spreads a 32-bit seed over
 * its whole state, so that the first numbers of neighbouring seeds are independent, which a xoroshiro's are not.
 */
export function createRandom(seed: number): Random {
  const generator = mersenne(seed);
  return () => (generator.next() >>> 0) / 2 ** 32;
}

/** A shuffled copy (Fisher-Yates). */
export function shuffled<T>(items: readonly T[], random: Random): T[] {
  const copy = [...items];
  for (let last = copy.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    const held = copy[last];
    const picked = copy[other];
    if (held === undefined || picked === undefined) continue;
    copy[last] = picked;
    copy[other] = held;
  }
  return copy;
}
