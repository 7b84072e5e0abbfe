import { describe, expect, it } from "vitest";
import { summariseAnswers } from "./score-answers.ts";

const answered = (answer: string) => ({ status: "answered", answer, raw: answer }) as const;
const unparsable = { status: "unparsable", reason: "empty", raw: "" } as const;
const failed = { status: "failed", reason: "HTTP 503" } as const;

describe("summariseAnswers", () => {
  it("averages what could be graded, and counts the rest apart", () => {
    const answers = [answered("a"), answered("x"), unparsable, failed, answered("e")];
    // (1 + 0.25 + 0) / 3
    expect(summariseAnswers(answers, [1, 0.25, 0, undefined, undefined])).toEqual({
      mean: 1.25 / 3,
      counts: { graded: 3, unparsable: 1, failed: 1 },
    });
  });

  it("has no mean of nothing", () => {
    expect(summariseAnswers([failed], [undefined])).toEqual({
      mean: undefined,
      counts: { graded: 0, unparsable: 0, failed: 1 },
    });
    expect(summariseAnswers([], []).mean).toBeUndefined();
  });
});
