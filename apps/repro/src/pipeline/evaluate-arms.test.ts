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

  it("refuses another conversation's memories where all questions are about one conversation", () => {
    const control: Override = ["evaluation.arms.2.context", "other-conversation"];
    expect(() => choose(control)).toThrow(ConfigError);
    expect(() => choose(control)).toThrow('arm "oracle" reads another conversation\'s memories');
    expect(choose(control, ["evaluation.validation", "true"]).test).toHaveLength(2);
  });
});
