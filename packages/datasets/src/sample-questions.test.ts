import { ConfigError, type Question } from "@memory-r1/spec";
import { expect, it } from "vitest";
import { sampleQuestions } from "./sample-questions.ts";

const questions: Question[] = Array.from({ length: 200 }, (_, index) => ({
  id: `conv-x/qa-${index}`,
  conversationId: "conv-x",
  text: "?",
  category: { code: "4", names: {} },
  evidenceTurnIds: [],
  answerable: false,
}));
const ids = (sample: readonly Question[]): string[] => sample.map(({ id }) => id);

it("depends on the seed alone and keeps the order", () => {
  const sample = sampleQuestions(questions, 50, 1);
  expect(sample).toHaveLength(50);
  expect(new Set(ids(sample)).size).toBe(50);
  expect(sample).toEqual(questions.filter((question) => sample.includes(question)));
  expect(sampleQuestions(questions, 50, 1)).toEqual(sample);
  expect(ids(sampleQuestions(questions, 50, 2))).not.toEqual(ids(sample));
});

it("does not depend on the order of the input, and grows by adding", () => {
  const sample = sampleQuestions(questions, 50, 1);
  expect(new Set(ids(sampleQuestions(questions.toReversed(), 50, 1)))).toEqual(
    new Set(ids(sample)),
  );
  expect(ids(sampleQuestions(questions, 80, 1))).toEqual(expect.arrayContaining(ids(sample)));
});

it("picks each question about equally often: 100 seeds of 50 of 200 make 25 each, 5 standard deviations are 22", () => {
  const counts = new Map(ids(questions).map((id) => [id, 0]));
  for (let seed = 0; seed < 100; seed++) {
    for (const id of ids(sampleQuestions(questions, 50, seed)))
      counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  // sqrt(100 * 0.25 * 0.75) = 4.33.
  for (const [id, count] of counts) expect(Math.abs(count - 25), id).toBeLessThan(22);
});

it("gives all or none where that is asked, and refuses the rest", () => {
  expect(sampleQuestions(questions, 500, 1)).toEqual(questions);
  expect(sampleQuestions(questions, 0, 1)).toEqual([]);
  expect(sampleQuestions([], 5, 1)).toEqual([]);
  expect(() => sampleQuestions(questions, 1.5, 1)).toThrow(ConfigError);
  expect(() => sampleQuestions(questions, -1, 1)).toThrow(ConfigError);
});
