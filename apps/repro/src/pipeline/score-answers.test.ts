import type { Question } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { summariseAnswers } from "./score-answers.ts";

const questions = ["a", "b", "c", "d", "e"].map((id): Question => ({
  id,
  conversationId: "x",
  text: `${id}?`,
  gold: id,
  category: { code: "1", names: {} },
  evidenceTurnIds: [],
  answerable: true,
}));

const score = (prediction: string, { id, gold }: Question): number | undefined => {
  if (id === "e") return undefined;
  return prediction === gold ? 1 : 0.25;
};

const answered = (answer: string) => ({ status: "answered", answer, raw: answer }) as const;

describe("summariseAnswers", () => {
  it("scores an unparsable reply 0, and leaves out what failed or cannot be graded", () => {
    const answers = [
      answered("a"),
      answered("x"),
      { status: "unparsable", reason: "empty", raw: "" },
      { status: "failed", reason: "HTTP 503" },
      answered("e"),
    ] as const;
    // (1 + 0.25 + 0) / 3
    expect(summariseAnswers(answers, questions, score)).toEqual({
      mean: 1.25 / 3,
      counts: { graded: 3, unparsable: 1, failed: 1 },
    });
  });

  it("counts a missing answer as failed, and has no mean of nothing", () => {
    expect(summariseAnswers([], questions, score)).toEqual({
      mean: undefined,
      counts: { graded: 0, unparsable: 0, failed: 5 },
    });
    expect(summariseAnswers([], [], score).mean).toBeUndefined();
  });
});
