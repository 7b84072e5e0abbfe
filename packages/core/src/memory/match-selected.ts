import type { MemoryEntry } from "@memory-r1/spec";

/**
 * The memories that the lines of a selection name, in the order of the lines and each once: by a text that stands in the
 * line (of several the longest), or else by the number that the line begins with, counted from 1. A line that names none
 * of the memories shown is the model's own invention and is left out.
 */
export function matchSelected(
  lines: readonly string[],
  shown: readonly MemoryEntry[],
): readonly MemoryEntry[] {
  const selected = new Set<MemoryEntry>();
  for (const line of lines) {
    const [longest] = shown
      .filter(({ text }) => line.includes(text))
      .toSorted((left, right) => right.text.length - left.text.length);
    const number = /^(\d+)(?=\s*(?:[.:)]|$))/.exec(line)?.[1];
    const entry = longest ?? (number === undefined ? undefined : shown[Number(number) - 1]);
    if (entry !== undefined) selected.add(entry);
  }
  return [...selected];
}
