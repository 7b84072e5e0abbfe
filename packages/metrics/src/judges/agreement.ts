import type { Outcome } from "@memory-r1/spec";
import { computeWilsonInterval } from "../statistics/closed-form-intervals.ts";
import type { Interval } from "../statistics/resample.ts";

/** What a person says of an answer. */
export type AnswerLabel = "correct" | "wrong";

/** A judge beside a person: how many answers of each label were judged how. */
export interface Confusion {
  /** Label correct, judged correct. */
  readonly accepted: number;
  /** Label correct, judged wrong: the judge is too strict. */
  readonly wronglyRejected: number;
  /** Label wrong, judged correct: the judge is too lenient. */
  readonly wronglyAccepted: number;
  /** Label wrong, judged wrong. */
  readonly rejected: number;
}

export interface Agreement {
  readonly confusion: Confusion;
  readonly graded: number;
  /** Answers without a verdict; in no number beside this one. */
  readonly ungraded: number;
  /** Share of equal verdicts, 0 to 1; undefined where nothing was graded. */
  readonly accuracy: number | undefined;
  readonly accuracyInterval: Interval | undefined;
  readonly kappa: number | undefined;
}

/**
 * Cohen's kappa (Cohen 1960): (observed - chance) / (1 - chance) agreement, from -1 to 1. Undefined where chance agreement
 * is 1, as both then always say the same one thing, and where nothing was graded.
 */
export function computeCohensKappa(confusion: Confusion): number | undefined {
  const { accepted, wronglyRejected, wronglyAccepted, rejected } = confusion;
  const total = accepted + wronglyRejected + wronglyAccepted + rejected;
  const labelledCorrect = accepted + wronglyRejected;
  const judgedCorrect = accepted + wronglyAccepted;
  // In whole numbers, times total squared: no rounding decides whether chance agreement is 1.
  const chance =
    labelledCorrect * judgedCorrect + (total - labelledCorrect) * (total - judgedCorrect);
  if (chance === total * total) return undefined;
  return ((accepted + rejected) * total - chance) / (total * total - chance);
}

/** Agreement of a judge with labels, over the answers that it graded. A score of 0.5 or more counts as correct. */
export function summariseAgreement(
  judged: readonly { readonly label: AnswerLabel; readonly outcome: Outcome }[],
): Agreement {
  const count = (label: AnswerLabel, accepts: boolean): number =>
    judged.filter(
      (one) =>
        one.label === label &&
        one.outcome.status === "graded" &&
        isAccepted(one.outcome.score) === accepts,
    ).length;
  const confusion = {
    accepted: count("correct", true),
    wronglyRejected: count("correct", false),
    wronglyAccepted: count("wrong", true),
    rejected: count("wrong", false),
  };
  const graded = judged.filter(({ outcome }) => outcome.status === "graded").length;
  const equal = confusion.accepted + confusion.rejected;
  return {
    confusion,
    graded,
    ungraded: judged.length - graded,
    accuracy: graded === 0 ? undefined : equal / graded,
    accuracyInterval: computeWilsonInterval(equal, graded),
    kappa: computeCohensKappa(confusion),
  };
}

/** How often a judge accepts answers. */
export interface Acceptance {
  readonly accepted: number;
  readonly graded: number;
  readonly ungraded: number;
  /** 0 to 1; undefined where nothing was graded. */
  readonly rate: number | undefined;
  readonly interval: Interval | undefined;
}

/** Share of the graded answers that were judged correct. A score of 0.5 or more counts as correct. */
export function summariseAcceptance(outcomes: readonly Outcome[]): Acceptance {
  const scores = outcomes.flatMap((one) => (one.status === "graded" ? [one.score] : []));
  const accepted = scores.filter(isAccepted).length;
  return {
    accepted,
    graded: scores.length,
    ungraded: outcomes.length - scores.length,
    rate: scores.length === 0 ? undefined : accepted / scores.length,
    interval: computeWilsonInterval(accepted, scores.length),
  };
}

const isAccepted = (score: number): boolean => score >= 0.5;
