import { createRandom, type Dataset, deriveSeed, type Random } from "@memory-r1/spec";
import { pick } from "../common/pick.ts";

/** A prediction, a gold answer and a category code, as both workers read it from a line of JSON. */
export type AnswerPair = readonly [prediction: string, gold: string, categoryCode: string];

const openings = ["I think it was", "She said", "According to the memories,", "It is", "Probably"];
const additions = ["as well", "last summer", "with her family", "and more", "in the city"];

/** What a model might answer instead of gold: right, wordy, cut short, repeated, another question's answer, or a refusal. */
function corruptAnswer(gold: string, otherGolds: readonly string[], random: Random): string {
  const kind = random();
  if (kind < 0.2) return gold;
  if (kind < 0.4) return `${pick(openings, random)} ${gold}.`;
  if (kind < 0.5) return `${gold} ${pick(additions, random)}`;
  if (kind < 0.6) return pick(otherGolds, random);
  if (kind < 0.65) return "Not mentioned in the conversation.";
  const words = gold.split(" ");
  if (kind < 0.75) return words.toReversed().join(", ");
  if (kind < 0.85) return gold.toUpperCase();
  const kept = words.filter(() => random() < 0.7);
  return kept.length === 0 ? "" : `${kept.join(" ")}!`;
}

/** One seeded answer to every question of LoCoMo that its tables count: all but category 5. */
export function makeLocomoPairs(dataset: Dataset, seed: number): readonly AnswerPair[] {
  const asked = dataset.questions.flatMap(({ gold, category: { code, isAdversarial } }) =>
    gold === undefined || isAdversarial === true ? [] : [{ gold, code }],
  );
  const golds = asked.map(({ gold }) => gold);
  const random = createRandom(deriveSeed(seed, "speed of metrics", dataset.name));
  return asked.map(({ gold, code }) => [corruptAnswer(gold, golds, random), gold, code]);
}

const vocabulary = (
  "garden harbour violin pottery camping teacher counsellor library mountain bicycle raincoat telescope kitchen painting " +
  "running sailing repaired bought finally happily quickly wonderful traditional volunteering certification neighbourhood " +
  "the a an and of in to with her his it's didn't can't grandmother's Mina Porto Lisbon May June 2022 2023 7 14 1,000 two three"
).split(" ");

/** Seeded pairs of invented texts of 1 to 12 words. */
export function makeGeneratedPairs(count: number, seed: number): readonly AnswerPair[] {
  const random = createRandom(deriveSeed(seed, "speed of metrics", "generated"));
  const makeGold = (): string =>
    Array.from({ length: 1 + Math.floor(random() * 12) }, () => pick(vocabulary, random)).join(
      random() < 0.15 ? ", " : " ",
    );
  const others = Array.from({ length: 1000 }, makeGold);
  return Array.from({ length: count }, (): AnswerPair => {
    const gold = makeGold();
    return [corruptAnswer(gold, others, random), gold, pick(["1", "2", "3", "4"], random)];
  });
}
