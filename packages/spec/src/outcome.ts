/** The result of scoring one thing. Ungraded is not wrong: it is counted apart and never read as 0. */
export type Outcome =
  | { readonly status: "graded"; readonly score: number }
  | { readonly status: "ungraded"; readonly reason: string };

export const graded = (score: number): Outcome => ({ status: "graded", score });
export const ungraded = (reason: string): Outcome => ({ status: "ungraded", reason });
