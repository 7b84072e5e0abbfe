import { ConfigError, deriveSeed, type Question } from "@memory-r1/spec";

/**
 * A seeded sample of questions, in the order in which they came. A question's luck depends on the seed and its id
 * alone: the order of the input does not matter, and a smaller sample is part of every larger one of the same seed.
 * All questions where `count` is not below their number.
 * @throws ConfigError where `count` is no whole number of at least 0.
 */
export function sampleQuestions(
  questions: readonly Question[],
  count: number,
  seed: number,
): Question[] {
  if (!Number.isInteger(count) || count < 0) {
    throw new ConfigError(`Cannot sample ${count} questions. Give a whole number of at least 0.`);
  }
  const ranked = questions
    .map((question) => ({
      id: question.id,
      rank: deriveSeed("sample-questions", seed, question.id),
    }))
    .sort((first, second) => first.rank - second.rank || (first.id < second.id ? -1 : 1));
  const chosen = new Set(ranked.slice(0, count).map(({ id }) => id));
  return questions.filter((question) => chosen.has(question.id));
}
