import { graded, HarnessError, type Outcome, ungraded } from "@memory-r1/spec";

/**
 * First minus second, question by question; a pair with an ungraded side is ungraded. Position i of both lists is the
 * same question.
 * @throws HarnessError where the lists differ in length.
 */
export function subtractOutcomes(
  first: readonly Outcome[],
  second: readonly Outcome[],
): readonly Outcome[] {
  if (first.length !== second.length) {
    throw new HarnessError(
      "unpaired_outcomes",
      `${first.length} outcomes against ${second.length} cannot be paired; give both systems' outcomes of the same questions in the same order`,
    );
  }
  return first.map((one, index): Outcome => {
    const other = second[index];
    if (one.status === "ungraded") return one;
    if (other?.status !== "graded") return other ?? ungraded("no second outcome");
    return graded(one.score - other.score);
  });
}
