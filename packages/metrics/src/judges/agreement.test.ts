import { graded, type Outcome, ungraded } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import {
  type AnswerLabel,
  computeCohensKappa,
  summariseAcceptance,
  summariseAgreement,
} from "./agreement.ts";

const confusionOf = ([accepted, wronglyRejected, wronglyAccepted, rejected]: readonly [
  number,
  number,
  number,
  number,
]) => ({ accepted, wronglyRejected, wronglyAccepted, rejected });

describe("computeCohensKappa", () => {
  it("is (0.7 - 0.5) / (1 - 0.5) by hand", () => {
    // Labels: 25 of 50 correct. Judge: 30 of 50. Observed 35/50; chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5.
    expect(computeCohensKappa(confusionOf([20, 5, 10, 15]))).toBeCloseTo(0.4, 12);
  });

  // scikit-learn 1.9.1: cohen_kappa_score.
  it.each([
    [[45, 15, 25, 15], 0.13043478260869568],
    [[10, 0, 0, 10], 1],
    [[0, 10, 10, 0], -1],
    [[9, 1, 1, 0], -0.1],
    [[5, 0, 5, 0], 0],
    [[3, 2, 0, 0], 0],
  ] as const)("gives scikit-learn's value for %j", (counts, kappa) => {
    expect(computeCohensKappa(confusionOf(counts))).toBeCloseTo(kappa, 12);
  });

  it("is undefined where both always say the same one thing (scikit-learn: nan), and of nothing", () => {
    expect(computeCohensKappa(confusionOf([7, 0, 0, 0]))).toBeUndefined();
    expect(computeCohensKappa(confusionOf([0, 0, 0, 7]))).toBeUndefined();
    expect(computeCohensKappa(confusionOf([0, 0, 0, 0]))).toBeUndefined();
  });
});

describe("summariseAgreement", () => {
  const pair = (label: AnswerLabel, outcome: Outcome) => ({ label, outcome });

  it("counts both ways of being wrong apart, and the ungraded in no rate", () => {
    const agreement = summariseAgreement([
      pair("correct", graded(1)),
      pair("correct", graded(1)),
      pair("correct", graded(0)),
      pair("wrong", graded(1)),
      pair("wrong", graded(0)),
      pair("wrong", ungraded("no verdict")),
      pair("correct", ungraded("no verdict")),
    ]);
    expect(agreement.confusion).toEqual(confusionOf([2, 1, 1, 1]));
    expect(agreement).toMatchObject({ graded: 5, ungraded: 2, accuracy: 0.6 });
    // Observed 3/5; chance (3 * 3 + 2 * 2) / 25 = 0.52; (0.6 - 0.52) / 0.48 = 1/6.
    expect(agreement.kappa).toBeCloseTo(1 / 6, 12);
    // statsmodels 0.15.0, 3 of 5.
    expect(agreement.accuracyInterval?.low).toBeCloseTo(0.2307242812760129, 12);
  });

  it("has no rates of nothing", () => {
    expect(summariseAgreement([pair("wrong", ungraded("x"))])).toEqual({
      confusion: confusionOf([0, 0, 0, 0]),
      graded: 0,
      ungraded: 1,
      accuracy: undefined,
      accuracyInterval: undefined,
      kappa: undefined,
    });
  });
});

describe("summariseAcceptance", () => {
  it("is the share accepted of those graded", () => {
    const outcomes = [graded(1), graded(0), graded(1), graded(1), ungraded("x")];
    expect(summariseAcceptance(outcomes)).toMatchObject({
      accepted: 3,
      graded: 4,
      ungraded: 1,
      rate: 0.75,
    });
    // statsmodels 0.15.0, 3 of 4.
    expect(summariseAcceptance(outcomes).interval?.high).toBeCloseTo(0.9544127391902995, 12);
  });

  it("has no rate of nothing", () => {
    expect(summariseAcceptance([])).toEqual({
      accepted: 0,
      graded: 0,
      ungraded: 0,
      rate: undefined,
      interval: undefined,
    });
  });
});
