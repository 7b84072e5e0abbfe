import { describe, expect, it } from "vitest";
import { judgeManager } from "./judge-manager.ts";

const played = { answerScore: 0.25, missing: 0.125, metrics: { bankSize: 3 } };

describe("judgeManager", () => {
  it("adds the evidence that is kept to the answers' score", () => {
    expect(judgeManager(played, undefined)).toEqual({
      score: 1.125,
      healthy: true,
      metrics: { bankSize: 3 },
    });
  });

  it("takes as much missing evidence as before training, and no more", () => {
    expect(judgeManager(played, 0.125).healthy).toBe(true);
    expect(judgeManager(played, 0.5).healthy).toBe(true);
    expect(judgeManager(played, 0.1)).toMatchObject({
      score: 1.125,
      healthy: false,
      reason: "more evidence is missing than before training",
    });
  });

  it("calls an empty bank and ungraded answers unhealthy", () => {
    const empty = { ...played, missing: 1, metrics: { bankSize: 0 } };
    expect(judgeManager(empty, 1)).toMatchObject({ healthy: false, score: 0.25 });
    const ungraded = { ...played, answerScore: undefined };
    expect(judgeManager(ungraded, undefined)).toMatchObject({ healthy: false, score: 0.875 });
  });
});
