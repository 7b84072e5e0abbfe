import type { Random } from "@memory-r1/spec";

/** One of the items, each as likely. @throws RangeError if there are none */
export function pick<T>(items: readonly T[], random: Random): T {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new RangeError("pick: no items");
  return item;
}
