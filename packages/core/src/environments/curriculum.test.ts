import { ConfigError, type ObservedValidation } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createCurriculum } from "./curriculum.ts";

const validation = (step: number, missing?: number): ObservedValidation => ({
  step,
  healthy: true,
  metrics: missing === undefined ? {} : { evidenceMissing: missing },
});

/** Sessions of an episode after each validation. */
function sessionsAfter(validations: readonly ObservedValidation[]): number[] {
  const curriculum = createCurriculum({ sessions: [8, 16, 32], maxEvidenceMissing: 0.1 });
  return validations.map((one) => {
    curriculum.observe(one);
    return curriculum.sessions();
  });
}

describe("createCurriculum", () => {
  it("opens the next level below 10 % of evidence missing, and at 10 % does not", () => {
    expect(sessionsAfter([validation(5, 0.0999)])).toEqual([16]);
    expect(sessionsAfter([validation(5, 0.1)])).toEqual([8]);
    expect(sessionsAfter([validation(5, 0.127), validation(10, 0.48)])).toEqual([8, 8]);
  });

  it("opens one level a validation, up to the last, and gives none up", () => {
    const validations = [5, 10, 15, 20].map((step) => validation(step, 0.02));
    expect(sessionsAfter(validations)).toEqual([16, 32, 32, 32]);
    expect(sessionsAfter([validation(5, 0), validation(10, 0.9)])).toEqual([16, 16]);
  });

  it("is not opened by the untrained Manager, nor twice by one step, nor without evidence", () => {
    expect(sessionsAfter([validation(0, 0)])).toEqual([8]);
    expect(sessionsAfter([validation(5, 0), validation(5, 0)])).toEqual([16, 16]);
    expect(sessionsAfter([validation(5)])).toEqual([8]);
  });

  it("refuses levels that do not grow", () => {
    for (const sessions of [[], [0, 1], [2, 2], [4, 1]])
      expect(() => createCurriculum({ sessions, maxEvidenceMissing: 0.1 })).toThrow(ConfigError);
  });
});
