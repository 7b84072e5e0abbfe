import type { Dataset, Question } from "@memory-r1/spec";
import { expect, it } from "vitest";
import { makeGeneratedPairs, makeLocomoPairs } from "./metrics-pairs.ts";

function question(code: string, gold?: string): Question {
  return {
    id: `q-${code}-${gold}`,
    conversationId: "c",
    text: "?",
    ...(gold === undefined ? {} : { gold }),
    category: { code, names: {}, ...(code === "5" ? { isAdversarial: true } : {}) },
    evidenceTurnIds: [],
    answerable: gold !== undefined,
  };
}

const dataset: Dataset = {
  name: "invented",
  sha256: "",
  conversations: [],
  questions: [question("1", "tea, coffee"), question("5", "No"), question("5"), question("4", "x")],
  splits: {},
  notes: [],
};

it("answers each question but those of category 5, the same way for the same seed", () => {
  const pairs = makeLocomoPairs(dataset, 3);
  expect(pairs.map(([, gold, code]) => [gold, code])).toEqual([
    ["tea, coffee", "1"],
    ["x", "4"],
  ]);
  expect(makeLocomoPairs(dataset, 3)).toEqual(pairs);
});

it("makes seeded pairs that are neither all right nor all wrong", () => {
  const pairs = makeGeneratedPairs(400, 1);
  expect(pairs).toEqual(makeGeneratedPairs(400, 1));
  const right = pairs.filter(([prediction, gold]) => prediction === gold).length;
  expect(right).toBeGreaterThan(40);
  expect(right).toBeLessThan(160);
});
