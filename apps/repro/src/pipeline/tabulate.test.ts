import { describe, expect, it } from "vitest";
import type { Experiment } from "../experiment.ts";
import {
  answered,
  evaluation,
  experimentOf,
  failed,
  predict,
  questionOf,
  questions,
} from "./__fixtures__/small-evaluation.ts";
import type { Evaluation } from "./evaluate-arms.ts";
import { scorePredictions, scoreSplits } from "./score-predictions.ts";
import { chooseCategoryNaming, detailTables, tabulate, type TableView } from "./tabulate.ts";

/** The tables of a run, as it ends. */
function tabulateRun(experiment: Experiment, evaluated: Evaluation, view: Partial<TableView> = {}) {
  return tabulate(
    experiment,
    scoreSplits(experiment, evaluated.questions, scorePredictions(evaluated.predictions)),
    {
      categoryNaming: "official",
      knownIssues: "include",
      mainMetric: experiment.evaluation.mainMetric,
      intervals: "all",
      ...view,
    },
  );
}

describe("the table that is shown", () => {
  const { overall } = tabulateRun(experimentOf(), evaluation);

  it("has means over what was graded, and counts what was not", () => {
    // With the data set that was taken, which `--set dataset=` may have changed.
    expect(overall.title).toBe("Two arms, three questions (locomo-mini)");
    expect(overall.rows).toMatchObject([
      {
        split: "test",
        system: "RAG",
        arm: "plain",
        questions: 3,
        "squad-em": 0,
        "squad-f1": 0.25,
        "squad-f1Graded": 2,
        "squad-f1Ungraded": 1,
      },
      {
        split: "test",
        system: "RAG",
        arm: "trained",
        questions: 3,
        "squad-em": 2 / 3,
        "squad-f1": expect.closeTo((1 + 4 / 5 + 1) / 3, 12),
        "squad-f1Graded": 3,
        "squad-f1Ungraded": 0,
      },
    ]);
  });

  it("shows the main metric's interval alone, and says the comparison underneath", () => {
    expect(overall.columns.filter(({ kind }) => kind === "interval").map(({ key }) => key)).toEqual(
      ["squad-f1"],
    );
    // Both were graded on q1 and q2: (1 - 1/2 + 4/5 - 0) / 2
    expect(overall.notes[1]).toMatch(/^test: after − before = 0\.650 \[0\.500, 0\.800\] squad-f1$/);
    expect(overall.notes[0]).toContain("seed 5");
  });
});

describe("the comparisons", () => {
  it("are the second arm minus the first, over the questions that both have graded", () => {
    const { comparisons } = tabulateRun(experimentOf(), evaluation);
    expect(comparisons.rows).toEqual([
      {
        split: "test",
        from: "before",
        to: "after",
        metric: "squad-f1",
        questions: 2,
        difference: expect.closeTo(0.65, 12),
        // Of two questions a quarter of the resamples are each one alone: the ends are the two differences.
        differenceLow: 0.5,
        differenceHigh: expect.closeTo(0.8, 12),
        knownIssues: "include",
        // Both are of conversation c1.
        conversations: 1,
        macroDifference: expect.closeTo(0.65, 12),
        macroDifferenceLow: undefined,
        macroDifferenceHigh: undefined,
      },
    ]);
  });

  it("are missing where nothing was graded on both sides", () => {
    const nothing = { ...evaluation, predictions: new Map([["before", predict(failed)]]) };
    const tables = tabulateRun(experimentOf(), nothing);
    expect(tables.comparisons.rows[0]).toMatchObject({ difference: undefined });
    expect(tables.overall.notes[1]).toBe("test: after − before = – [–, –] squad-f1");
    expect(tables.overall.rows[1]).toMatchObject({ "squad-f1": undefined, "squad-f1Ungraded": 3 });
  });
});

describe("the leaderboard", () => {
  it("has every category, for every split that was asked", () => {
    const both = {
      ...evaluation,
      questions: { validation: questions.slice(0, 1), test: questions, adversarial: [] },
    };
    const { leaderboard } = tabulateRun(experimentOf(), both);
    expect(
      leaderboard.rows.map((row) => [row["split"], row["arm"], row["scope"], row["squad-f1"]]),
    ).toEqual([
      ["validation", "plain", "all", 0.5],
      ["validation", "plain", "1", 0.5],
      ["validation", "trained", "all", 1],
      ["validation", "trained", "1", 1],
      ["test", "plain", "all", 0.25],
      ["test", "plain", "1", 0.25],
      ["test", "plain", "2", undefined],
      ["test", "trained", "all", expect.closeTo(14 / 15, 12)],
      ["test", "trained", "1", 0.9],
      ["test", "trained", "2", 1],
    ]);
    expect(leaderboard.columns[0]).toMatchObject({ key: "split" });
  });

  it("has no rows and no comparison of an arm where it was not asked", () => {
    const [before, after] = experimentOf().evaluation.arms;
    if (before === undefined || after === undefined) throw new Error("no arms");
    const experiment = experimentOf({ arms: [before, { ...after, splits: ["validation"] }] });
    const both = {
      ...evaluation,
      questions: { validation: questions.slice(0, 1), test: questions, adversarial: [] },
    };
    const { overall, comparisons } = tabulateRun(experiment, both);
    expect(overall.rows.map((row) => [row["split"], row["arm"]])).toEqual([
      ["validation", "plain"],
      ["validation", "trained"],
      ["test", "plain"],
    ]);
    expect(comparisons.rows.map((row) => row["split"])).toEqual(["validation"]);
  });

  it("leaves a question without gold answer ungraded, whatever was answered", () => {
    const asked = { validation: [], test: [questionOf("q1", undefined)], adversarial: [] };
    const { leaderboard } = tabulateRun(experimentOf(), { ...evaluation, questions: asked });
    for (const row of leaderboard.rows) {
      expect(row).toMatchObject({ "squad-f1": undefined, "squad-f1Ungraded": 1 });
    }
  });

  it("is the same for the same predictions and seed", () => {
    const again = tabulateRun(experimentOf(), evaluation);
    expect(tabulateRun(experimentOf(), evaluation)).toEqual(again);
  });

  it("refuses a metric that there is not", () => {
    const experiment = experimentOf({ metrics: ["f2"], mainMetric: "f2" });
    expect(() => tabulateRun(experiment, evaluation)).toThrow('There is no metric "f2"');
  });
});

describe("the categories", () => {
  it("are named as asked, and the table says how, and which score it is", () => {
    const test = questions.map((question) => ({
      ...question,
      category: {
        code: question.category.code,
        names:
          question.category.code === "1"
            ? { official: "multi-hop", mem0: "single-hop" }
            : { official: "temporal", mem0: "temporal" },
      },
    }));
    const asked = { ...evaluation, questions: { validation: [], test, adversarial: [] } };
    const { categories } = tabulateRun(experimentOf(), asked, { categoryNaming: "mem0" });
    expect(categories.title).toBe("squad-f1 by category, named as in mem0");
    expect(categories.columns.map(({ label }) => label)).toEqual([
      "Questions of",
      "System",
      "Arm",
      "single-hop",
      "temporal",
      "All",
    ]);
    expect(categories.rows).toMatchObject([
      { arm: "plain", "category 1": 0.25, "category 2": undefined, all: 0.25 },
      { arm: "trained", "category 1": 0.9, "category 2": 1 },
    ]);
    expect(categories.notes[0]).toMatch(/^squad-f1: .*SQuAD/);
    expect(categories.notes[1]).toBe(
      "Category names: mem0 (1 single-hop, 2 temporal). The same codes have other names under official.",
    );
  });

  it("have a naming that the data set has, its first by default", () => {
    const categories = [{ names: { official: "temporal", mem0: "temporal" } }];
    expect(chooseCategoryNaming(categories, undefined)).toBe("official");
    expect(chooseCategoryNaming(categories, "mem0")).toBe("mem0");
    expect(chooseCategoryNaming([{ names: {} }], undefined)).toBeUndefined();
    expect(() => chooseCategoryNaming(categories, "mem1")).toThrow(
      'There is no category naming "mem1". Known: official, mem0.',
    );
  });
});

describe("questions whose gold answer is known to be wrong", () => {
  // q2 has the wrong gold: what is left is q1 (1/2, and 1) and q3 (not graded, and 1).
  const test = questions.map((question) =>
    question.id === "q2"
      ? {
          ...question,
          knownIssues: [{ kind: "HALLUCINATION", scoreCorrupting: true, source: "x" }],
        }
      : question,
  );
  const known = { ...evaluation, questions: { validation: [], test, adversarial: [] } };
  const means = (view: Partial<TableView>) =>
    tabulateRun(experimentOf(), known, view).overall.rows.map((row) => [
      row["knownIssues"],
      row["arm"],
      row["questions"],
      row["squad-f1"],
      row["ceiling"],
    ]);
  const included = [
    ["include", "plain", 3, 0.25, 2 / 3],
    ["include", "trained", 3, expect.closeTo(14 / 15, 12), 2 / 3],
  ];
  const excluded = [
    ["exclude", "plain", 2, 0.5, 1],
    ["exclude", "trained", 2, 1, 1],
  ];

  it("count, do not, or both, as asked", () => {
    expect(means({ knownIssues: "include" })).toEqual(included);
    expect(means({ knownIssues: "exclude" })).toEqual(excluded);
    expect(means({ knownIssues: "both" })).toEqual([...included, ...excluded]);
  });

  it("are counted in a note, give the ceiling of each category, and are told in the comparisons", () => {
    const tables = tabulateRun(experimentOf(), known, { knownIssues: "both" });
    expect(tables.overall.notes[1]).toContain("known to be wrong: 1 of 3 of test");
    expect(tables.overall.notes.slice(2)).toEqual([
      "test: after − before = 0.650 [0.500, 0.800] squad-f1",
      "test: after − before = 0.500 [–, –] squad-f1, known gold errors left out",
    ]);
    expect(tables.categories.rows.find((row) => row["system"] === "ceiling")).toMatchObject({
      "category 1": 0.5,
      "category 2": 1,
      all: 2 / 3,
    });
  });

  it("have scopes of their own in the leaderboard, whatever is shown", () => {
    const { leaderboard } = tabulateRun(experimentOf(), known);
    expect(leaderboard.rows.map((row) => [row["scope"], row["arm"], row["questions"]])).toEqual([
      ["all", "plain", 3],
      ["1", "plain", 2],
      ["2", "plain", 1],
      ["all", "trained", 3],
      ["1", "trained", 2],
      ["2", "trained", 1],
      ["all-clean", "plain", 2],
      ["1-clean", "plain", 1],
      ["2-clean", "plain", 1],
      ["all-clean", "trained", 2],
      ["1-clean", "trained", 1],
      ["2-clean", "trained", 1],
    ]);
  });

  it("leave the tables as they are where there are none", () => {
    const { overall, leaderboard } = tabulateRun(experimentOf(), evaluation);
    expect(overall.columns.map(({ key }) => key)).not.toContain("ceiling");
    expect(leaderboard.rows.every((row) => row["knownIssues"] === "include")).toBe(true);
  });
});

describe("questions to be refused", () => {
  const trap = { ...questionOf("q4", undefined), answerable: false };
  const asked = {
    ...evaluation,
    questions: { validation: [], test: questions, adversarial: [trap] },
    predictions: new Map([
      ["before", predict(answered("red bike"), answered("not mentioned"), failed, failed)],
      [
        "after",
        predict(
          answered("A red car!"),
          answered("two dogs"),
          answered("1 may 2024"),
          answered("No information available."),
        ),
      ],
    ]),
  };

  it("have a table of their own, beside a system that refuses everything", () => {
    const { refusals, overall } = tabulateRun(experimentOf(), asked);
    // statsmodels 0.15.0: proportion_confint(1, 1, method="wilson").
    const wilson = { refusedLow: expect.closeTo(0.2065493143772374, 14), refusedHigh: 1 };
    expect(refusals?.rows).toEqual([
      {
        split: "test",
        system: "RAG",
        arm: "plain",
        questions: 1,
        refused: undefined,
        graded: 0,
        ungraded: 1,
        answerable: 3,
        // q2 of q1 and q2
        wronglyRefused: 0.5,
        "squad-f1": 0.25,
      },
      {
        split: "test",
        system: "RAG",
        arm: "trained",
        questions: 1,
        refused: 1,
        ...wilson,
        graded: 1,
        ungraded: 0,
        answerable: 3,
        wronglyRefused: 0,
        "squad-f1": 1,
      },
      {
        split: "test",
        system: "always refuse",
        arm: "",
        questions: 1,
        refused: 1,
        ...wilson,
        graded: 1,
        ungraded: 0,
        answerable: 3,
        wronglyRefused: 1,
        "squad-f1": 0,
      },
    ]);
    // They are no part of the other tables.
    expect(overall.rows.map((row) => row["questions"])).toEqual([3, 3]);
  });

  it("are also those of the tables that the data set calls unanswerable", () => {
    const test = [...questions, { ...trap, id: "q4" }];
    const abstention = { ...asked, questions: { validation: [], test, adversarial: [] } };
    const { refusals, overall } = tabulateRun(experimentOf(), abstention);
    expect(refusals?.rows.map((row) => [row["questions"], row["answerable"]])).toEqual([
      [1, 3],
      [1, 3],
      [1, 3],
    ]);
    expect(overall.rows.map((row) => row["questions"])).toEqual([4, 4]);
  });

  it("have no table where none was asked", () => {
    const tables = tabulateRun(experimentOf(), evaluation);
    expect(tables.refusals).toBeUndefined();
    expect(detailTables(tables)).toEqual([tables.categories, tables.averages]);
    expect(detailTables(tabulateRun(experimentOf(), asked))).toHaveLength(3);
  });
});
