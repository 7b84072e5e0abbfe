import { describe, expect, it } from "vitest";
import { questions } from "./__fixtures__/ana-and-ben.ts";
import type { Answer } from "./answering.ts";
import { type AnswerToGrade, createMetricGrader, gradeAnswers } from "./grading.ts";

const answered = (answer: string): Answer => ({ status: "answered", answer, raw: answer });
const unparsable: Answer = { status: "unparsable", reason: "empty", raw: "" };
const failed: Answer = { status: "failed", reason: "HTTP 503" };

describe("gradeAnswers", () => {
  const grade = createMetricGrader((prediction, { gold }) =>
    gold === undefined ? undefined : prediction === gold ? 1 : 0,
  );

  it("tells wrong from unparsable, and both from failed, missing and ungraded", async () => {
    const { city, parrot, instrument, pupils, kitchen, ungraded } = questions;
    const asked = [city, parrot, instrument, pupils, ungraded, kitchen];
    const answers = [answered("Lisbon"), answered("Rex"), unparsable, failed, answered("why")];
    expect(await gradeAnswers(grade, answers, asked)).toEqual([
      1,
      0,
      0,
      undefined,
      undefined,
      undefined,
    ]);
  });

  it("grades equal answers to one question once, all in one call, and asks nothing about nothing", async () => {
    const calls: (readonly AnswerToGrade[])[] = [];
    const counting = (batch: readonly AnswerToGrade[]) => {
      calls.push(batch);
      return grade(batch);
    };
    const asked = [questions.city, questions.home, questions.city, questions.city];
    const answers = ["Lisbon", "Lisbon", "Lisbon", "Porto 😀"].map(answered);
    expect(await gradeAnswers(counting, answers, asked)).toEqual([1, 1, 1, 0]);
    expect(calls).toEqual([
      [
        { question: questions.city, prediction: "Lisbon" },
        { question: questions.home, prediction: "Lisbon" },
        { question: questions.city, prediction: "Porto 😀" },
      ],
    ]);
    expect(await gradeAnswers(counting, [failed], [questions.city])).toEqual([undefined]);
    expect(await gradeAnswers(counting, [], [])).toEqual([]);
    expect(calls).toHaveLength(1);
  });
});
