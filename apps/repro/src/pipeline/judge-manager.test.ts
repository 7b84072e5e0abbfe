import { describe, expect, it } from "vitest";
import { judgeManager } from "./judge-manager.ts";

const played = { answerScore: 0.25, missing: 0.125, emptyBanks: 0, metrics: { bankSize: 3 } };

const before = { missingBefore: undefined };

describe("judgeManager", () => {
  it("adds the evidence that is kept to the answers' score", () => {
    expect(judgeManager(played, before)).toEqual({
      score: 1.125,
      healthy: true,
      metrics: { bankSize: 3 },
    });
    // Nothing is cited, so nothing is missing.
    expect(judgeManager({ ...played, missing: undefined }, { missingBefore: 0 })).toMatchObject({
      score: 1.25,
      healthy: true,
    });
  });

  it("takes as much missing evidence as before training, and no more", () => {
    expect(judgeManager(played, { missingBefore: 0.125 }).healthy).toBe(true);
    expect(judgeManager(played, { missingBefore: 0.5 }).healthy).toBe(true);
    expect(judgeManager(played, { missingBefore: 0.1 })).toMatchObject({
      score: 1.125,
      healthy: false,
      reason: "more evidence is missing than before training",
    });
  });

  it("calls an empty bank and ungraded answers unhealthy", () => {
    const empty = { ...played, missing: 1, emptyBanks: 1 };
    expect(judgeManager(empty, { missingBefore: 1 })).toMatchObject({
      healthy: false,
      score: 0.25,
      reason: "the bank stayed empty",
    });
    const ungraded = { ...played, answerScore: undefined };
    expect(judgeManager(ungraded, before)).toMatchObject({ healthy: false, score: 0.875 });
  });

  it("wants to go back above the limit, and at it does not; without a limit never", () => {
    const limits = { missingBefore: 0.5, rollBackMissing: 0.125 };
    expect(judgeManager(played, limits).rollBack).toBeUndefined();
    expect(judgeManager({ ...played, missing: 0.126 }, limits).rollBack).toMatch(/^0\.126 of/);
    expect(judgeManager({ ...played, missing: 1 }, before).rollBack).toBeUndefined();
  });
});
