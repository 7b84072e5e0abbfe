import type { Question } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { plantAnswers, type PlantedKind } from "./planted-answers.ts";

const category = { code: "1", names: {} };

function question(
  id: string,
  text: string,
  gold: string | undefined,
  more: Partial<Question> = {},
): Question {
  return {
    id,
    conversationId: "c1",
    text,
    ...(gold === undefined ? {} : { gold }),
    category,
    evidenceTurnIds: [],
    answerable: true,
    ...more,
  };
}

const bees = question("q1", "When did Ana buy the bee hives for her roof?", "7 May 2023");
const cat = question("q2", "What is the name of Ben's cat?", "Mina");
const pool = [bees, cat];

function plant(questions: readonly Question[], seed = 1, all = questions) {
  const { answers, notPlanted } = plantAnswers(questions, {
    seed,
    pool: all,
    participants: new Map([["c1", ["Ana", "Ben"]]]),
  });
  const texts = (kind: PlantedKind): string[] =>
    answers.filter((one) => one.kind === kind).map((one) => one.prediction);
  return { answers, notPlanted, texts };
}

const seeds = Array.from({ length: 30 }, (_, index) => index);

describe("plantAnswers", () => {
  it("plants the same for the same seed, another choice for another, in any order of questions", () => {
    const first = plant(pool, 1).answers;
    expect(plant(pool, 1).answers).toEqual(first);
    expect(plant([cat, bees], 1).answers).toEqual([...first.slice(5), ...first.slice(0, 5)]);
    const texts = new Set(seeds.map((seed) => JSON.stringify(plant(pool, seed).answers)));
    expect(texts.size).toBeGreaterThan(5);
  });

  it("gives controls that are right: gold, and gold in another dress", () => {
    const forms = new Set(
      seeds.flatMap((seed) =>
        plant([question("q", "?", "The Red boat")], seed).texts("rephrased-gold"),
      ),
    );
    expect(forms).toEqual(new Set(["RED BOAT.", "red boat.", "RED BOAT", "red boat"]));
    expect(plant(pool).texts("gold")).toEqual(["7 May 2023", "Mina"]);
  });

  it("stays on topic and says nothing in a vague answer", () => {
    for (const seed of seeds) {
      const [vague] = plant([bees], seed).texts("vague");
      expect(vague).toContain("Ana buy, bee hives and roof");
      expect(vague).not.toMatch(/\d|May/);
    }
  });

  it("makes no vague answer where the question gives the gold away, or where it has no topic", () => {
    const either = question("q", "Does Ana prefer tea or coffee?", "Tea");
    const empty = question("q", "Who is she?", "Ana");
    expect(plant([either]).texts("vague")).toEqual([]);
    expect(plant([empty]).texts("vague")).toEqual([]);
    expect(plant([either]).notPlanted).toContainEqual({
      questionId: "q",
      kind: "vague",
      reason: "the question has no topic, or gives the gold answer away",
    });
  });

  it("does not let a vague sentence hold a word of the gold answer", () => {
    for (const seed of seeds) {
      const asked = question("q", "What did Ben feel at the fair?", "enthusiasm and interest");
      expect(plant([asked], seed).texts("vague").join()).not.toMatch(/enthusiasm|interest/);
    }
  });

  it("takes the gold of another question of the same category and conversation", () => {
    const others = [
      question("q3", "Where is the fair?", "Porto", { category: { code: "2", names: {} } }),
      question("q4", "Where is the boat?", "Faro", { conversationId: "c2" }),
      question("q5", "When else?", "May 2023"),
      question("q6", "When exactly?", "7 may, 2023!"),
      question("q7", "Is it true?", "Lie", { answerable: false }),
      question("q8", "When did Ana buy the bee hives, for her roof", "9 June 2020"),
      question("q9", "What was it?", undefined),
    ];
    for (const seed of seeds) {
      const { texts } = plant([bees], seed, [...pool, ...others]);
      expect(texts("other-gold")).toEqual(["Mina"]);
    }
  });

  it("prefers a question that opens alike, for an answer of the same kind", () => {
    const when = question("q3", "When is the fair?", "9 June 2020");
    for (const seed of seeds) {
      expect(plant([bees], seed, [...pool, when]).texts("other-gold")).toEqual(["9 June 2020"]);
      const asked = question("q4", "How many hives?", "ten");
      const long = question("q5", "How long is it?", "an hour");
      const many = question("q6", "How many cats?", "six");
      expect(plant([asked], seed, [long, many]).texts("other-gold")).toEqual(["six"]);
    }
  });

  it("takes it from another conversation where there is no other question", () => {
    const far = question("q3", "Where is the boat?", "Faro", { conversationId: "c2" });
    expect(plant([bees], 1, [bees, far]).texts("other-gold")).toEqual(["Faro"]);
    expect(plant([bees], 1, [bees]).notPlanted).toContainEqual(
      expect.objectContaining({ questionId: "q1", kind: "other-gold" }),
    );
  });

  it("changes a detail of gold so that it is another answer", () => {
    for (const seed of seeds) {
      const [changed] = plant([bees], seed).texts("changed-detail");
      expect(changed).toMatch(/^\d+ \w+ \d{4}$/);
      expect(changed).not.toBe("7 May 2023");
      // "Ben and Ben" would hold nothing but what gold holds.
      const both = question("q", "Who sang?", "Ana and Ben");
      expect(plant([both], seed).texts("changed-detail")).toEqual([]);
    }
    expect(plant([question("q", "Who sang?", "Ana")]).texts("changed-detail")).toEqual(["Ben"]);
    expect(plant([cat]).texts("changed-detail")).toEqual([]);
  });

  it("says why a question is left out", () => {
    const left = [
      question("a", "?", "x", { answerable: false }),
      question("b", "?", "x", { category: { code: "single-session-preference", names: {} } }),
      question("c", "?", "The."),
      question("d", "?", undefined),
    ];
    expect(plant(left)).toMatchObject({
      answers: [],
      notPlanted: [
        { questionId: "a", reason: "the question cannot be answered" },
        { questionId: "b", reason: "the gold answer is a rubric, not an answer" },
        { questionId: "c", reason: "the gold answer is empty once normalised" },
        { questionId: "d", reason: "no gold answer" },
      ],
    });
  });
});
