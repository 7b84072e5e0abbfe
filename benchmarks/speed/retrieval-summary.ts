/** The smallest value that at least `share` (0..1] of the values do not exceed (nearest rank). @throws RangeError for none */
export function computePercentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  const value = sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  if (value === undefined) throw new RangeError("computePercentile: no values");
  return value;
}

/** How many of the expected positions were found, over all queries. @throws RangeError where there are none */
export function computeRecall(
  found: readonly (readonly number[])[],
  expected: readonly (readonly number[])[],
): number {
  let hits = 0;
  let total = 0;
  for (const [query, positions] of expected.entries()) {
    const set = new Set(found[query]);
    hits += positions.filter((position) => set.has(position)).length;
    total += positions.length;
  }
  if (total === 0) throw new RangeError("computeRecall: nothing is expected");
  return hits / total;
}
