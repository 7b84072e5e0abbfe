/** How far two implementations of one metric are apart on the same cases. */
export interface Comparison {
  readonly metric: string;
  readonly cases: number;
  /** Cases on which the two differ by more than the tolerance, or of which only one has a value. */
  readonly differing: number;
  readonly largestDifference: number;
  /** Position of the first differing case; undefined where there is none. */
  readonly firstDiffering: number | undefined;
}

/** Rounding differs between the two languages, nothing else may. */
export const tolerance = 1e-12;

/** Compares scores case by case; undefined stands for no value. @throws RangeError where the numbers of cases differ */
export function compareScores(
  metric: string,
  ours: readonly (number | undefined)[],
  theirs: readonly (number | undefined)[],
): Comparison {
  if (ours.length !== theirs.length) {
    throw new RangeError(`${metric}: ${ours.length} cases here and ${theirs.length} there`);
  }
  const differences = ours.map((own, index) => {
    const other = theirs[index];
    if (own === undefined || other === undefined) return own === other ? 0 : 1;
    // NaN is never near anything.
    return Number.isNaN(own - other) ? 1 : Math.abs(own - other);
  });
  const positions = [...differences.keys()].filter(
    (index) => (differences[index] ?? 0) > tolerance,
  );
  return {
    metric,
    cases: ours.length,
    differing: positions.length,
    largestDifference: Math.max(0, ...differences),
    firstDiffering: positions[0],
  };
}
