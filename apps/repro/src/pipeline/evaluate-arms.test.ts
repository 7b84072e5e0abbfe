import { loadLocomoMini, splitDataset } from "@memory-r1/datasets";
import { ConfigError } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { type Override, resolveExperiment } from "../experiment.ts";
import { tinyExperiment } from "./__fixtures__/tiny-experiment.ts";
import { chooseQuestions } from "./evaluate-arms.ts";

const splits = splitDataset(await loadLocomoMini(), "memory-r1");

function choose(...overrides: readonly Override[]) {
  const { validation, test } = chooseQuestions(
    resolveExperiment(tinyExperiment, overrides),
    splits,
  );
  return { validation: validation.map(({ id }) => id), test: test.map(({ id }) => id) };
}

describe("chooseQuestions", () => {
  const all = splits.test.questions.map(({ id }) => id);

  it("draws the sample by the seed, in the order of the data set", () => {
    const { validation, test } = choose(["evaluation.testSample", "5"]);
    expect(validation).toEqual([]);
    expect(test).toHaveLength(5);
    expect(all.filter((id) => test.includes(id))).toEqual(test);
    expect(choose(["evaluation.testSample", "5"]).test).toEqual(test);
    expect(choose(["evaluation.testSample", "5"], ["seed", "9"]).test).not.toEqual(test);
  });

  it("asks everything but the adversarial category where no sample is asked for", () => {
    expect(choose(["evaluation.testSample", "99"]).test).toEqual(all);
    expect(all).toHaveLength(22);
    expect(choose(["evaluation.testSample", "0"], ["evaluation.validation", "true"])).toEqual({
      validation: splits.validation.questions.map(({ id }) => id),
      test: [],
    });
  });

  it("asks only what the told sessions hold the evidence of", () => {
    const idsWith = (sessions: string): string[] =>
      choose(["evaluation.sessions", sessions], ["evaluation.testSample", "99"]).test;
    const told = idsWith("2");
    expect(told.length).toBeGreaterThan(0);
    expect(told.length).toBeLessThan(all.length);
    for (const { id, evidenceTurnIds } of splits.test.questions) {
      const isEarly = evidenceTurnIds.every((turnId) => /^D[12]:/.test(turnId));
      expect(told.includes(id), id).toBe(isEarly && evidenceTurnIds.length > 0);
    }
    expect(idsWith("99")).toEqual(all);
  });

  it("draws adversarial questions of the test conversations apart, none by default", () => {
    const adversarialOf = (count: string) =>
      chooseQuestions(
        resolveExperiment(tinyExperiment, [["evaluation.adversarialSample", count]]),
        splits,
      ).adversarial;
    expect(chooseQuestions(resolveExperiment(tinyExperiment), splits).adversarial).toEqual([]);
    expect(adversarialOf("2")).toHaveLength(2);
    expect(adversarialOf("99")).toEqual(splits.test.adversarialQuestions);
    expect(adversarialOf("99").map(({ category }) => category.code)).toEqual(["5", "5", "5"]);
  });

  it("draws whole conversations by the seed before it draws questions", () => {
    const { test } = splits;
    const twins = {
      ...splits,
      test: {
        ...test,
        conversations: ["a", "b", "c", "d"].map((id) => ({ id, participants: [], sessions: [] })),
        questions: ["a", "b", "c", "d"].flatMap((conversationId) =>
          test.questions.map((question) => ({ ...question, conversationId })),
        ),
        adversarialQuestions: ["a", "b", "c", "d"].flatMap((conversationId) =>
          test.adversarialQuestions.map((question) => ({ ...question, conversationId })),
        ),
      },
    };
    const drawn = (count: number, seed: number) => {
      const overrides: Override[] = [
        ["evaluation.testConversations", String(count)],
        ["evaluation.testSample", "999"],
        ["evaluation.adversarialSample", "999"],
        ["seed", String(seed)],
      ];
      const chosen = chooseQuestions(resolveExperiment(tinyExperiment, overrides), twins);
      const { test: asked, adversarial } = chosen;
      expect(asked).toHaveLength(22 * count);
      // Those to be refused are of the same conversations.
      expect(new Set(adversarial.map(({ conversationId }) => conversationId))).toEqual(
        new Set(asked.map(({ conversationId }) => conversationId)),
      );
      expect(adversarial).toHaveLength(3 * count);
      return [...new Set(asked.map(({ conversationId }) => conversationId))];
    };
    for (const seed of [1, 2, 3]) {
      expect(drawn(4, seed)).toEqual(["a", "b", "c", "d"]);
      expect(drawn(3, seed)).toEqual(expect.arrayContaining(drawn(2, seed)));
    }
    expect(new Set([1, 2, 3, 4, 5, 6, 7, 8].map((seed) => drawn(1, seed)[0])).size).toBeGreaterThan(
      1,
    );
  });

  it("refuses another conversation's memories where all questions are about one conversation", () => {
    const control: Override = ["evaluation.arms.2.context", "other-conversation"];
    expect(() => choose(control)).toThrow(ConfigError);
    expect(() => choose(control)).toThrow('arm "oracle" reads another conversation\'s memories');
    expect(choose(control, ["evaluation.validation", "true"]).test).toHaveLength(2);
  });
});
