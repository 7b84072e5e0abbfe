export interface GradedOutcome {
  readonly status: "graded";
  readonly score: number;
}

export interface UngradedOutcome {
  readonly status: "ungraded";
  readonly reason: string;
}

/** The result of scoring one thing. Ungraded is not wrong: it is counted apart and never read as 0. */
export type Outcome = GradedOutcome | UngradedOutcome;

export const graded = (score: number): Outcome => ({ status: "graded", score });
export const ungraded = (reason: string): UngradedOutcome => ({ status: "ungraded", reason });
