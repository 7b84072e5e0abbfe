import { bankOfFacts, createMemoryBank, type DatedFact } from "@memory-r1/core";
import type { Question } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { type Arm, type Experiment, resolveExperiment } from "../experiment.ts";
import type { Prediction } from "./answer-questions.ts";
import type { Evaluation } from "./evaluate-arms.ts";
import type { PlayedEpisode } from "./play-episodes.ts";
import { tabulate } from "./tabulate.ts";

const armOf = (name: string, system: string, variant: string) =>
  ({
    name,
    system,
    variant,
    memory: { kind: "baseline", baseline: "rag-turns" },
    answer: "untrained",
  }) as const satisfies Omit<Arm, "context" | "splits">;

function experimentOf(changes: Partial<Experiment["evaluation"]> = {}): Experiment {
  return resolveExperiment({
    name: "small",
    description: "Two arms, three questions",
    dataset: "locomo-mini",
    seed: 5,
    model: { name: "none" },
    evaluation: {
      metrics: ["squad-em", "squad-f1"],
      mainMetric: "squad-f1",
      arms: [armOf("before", "RAG", "plain"), armOf("after", "RAG", "trained")],
      comparisons: [["before", "after"]],
      ...changes,
    },
  });
}

function questionOf(id: string, gold: string | undefined, ...evidence: string[]): Question {
  return {
    id,
    conversationId: "c1",
    text: `${id}?`,
    ...(gold === undefined ? {} : { gold }),
    category: {
      code: id === "q3" ? "2" : "1",
      names: { official: id === "q3" ? "temporal" : "multi" },
    },
    evidenceTurnIds: evidence,
    answerable: gold !== undefined,
  };
}

const questions = [
  questionOf("q1", "red car", "D1:1"),
  questionOf("q2", "two dogs", "D1:1", "D1:2"),
  questionOf("q3", "1 May 2024", "D1:3"),
];

const answered = (answer: string) => ({ status: "answered", answer, raw: answer }) as const;
const predict = (...outcomes: readonly Prediction["outcome"][]): Prediction[] =>
  outcomes.map((outcome, index) => ({ questionId: `q${index + 1}`, memories: [], outcome }));

const failed = { status: "failed", reason: "HTTP 503" } as const;
const unparsable = { status: "unparsable", reason: "empty", raw: "" } as const;

const evaluation: Evaluation = {
  questions: { validation: [], test: questions },
  predictions: new Map([
    // token F1: 1/2 ("red", of 2 and 2), 0 (no answer in the reply), not graded
    ["before", predict(answered("red bike"), unparsable, failed)],
    // token F1: 1, 4/5 ("two dogs" of 2 in 3 words), 1
    ["after", predict(answered("A red car!"), answered("just two dogs"), answered("1 may 2024"))],
  ]),
  banks: new Map(),
};

describe("the table that is shown", () => {
  const { overall } = tabulate(experimentOf(), evaluation);

  it("has means over what was graded, and counts what was not", () => {
    expect(overall.title).toBe("Two arms, three questions");
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
    const { comparisons } = tabulate(experimentOf(), evaluation);
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
      },
    ]);
  });

  it("are missing where nothing was graded on both sides", () => {
    const nothing = { ...evaluation, predictions: new Map([["before", predict(failed)]]) };
    const tables = tabulate(experimentOf(), nothing);
    expect(tables.comparisons.rows[0]).toMatchObject({ difference: undefined });
    expect(tables.overall.notes[1]).toBe("test: after − before = – [–, –] squad-f1");
    expect(tables.overall.rows[1]).toMatchObject({ "squad-f1": undefined, "squad-f1Ungraded": 3 });
  });
});

describe("the leaderboard", () => {
  it("has every category, for every split that was asked", () => {
    const both = {
      ...evaluation,
      questions: { validation: questions.slice(0, 1), test: questions },
    };
    const { leaderboard } = tabulate(experimentOf(), both);
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

  it("leaves a question without gold answer ungraded, whatever was answered", () => {
    const asked = { validation: [], test: [questionOf("q1", undefined)] };
    const { leaderboard } = tabulate(experimentOf(), { ...evaluation, questions: asked });
    for (const row of leaderboard.rows) {
      expect(row).toMatchObject({ "squad-f1": undefined, "squad-f1Ungraded": 1 });
    }
  });

  it("is the same for the same predictions and seed", () => {
    const again = tabulate(experimentOf(), evaluation);
    expect(tabulate(experimentOf(), evaluation)).toEqual(again);
  });

  it("refuses a metric that there is not", () => {
    const experiment = experimentOf({ metrics: ["f2"], mainMetric: "f2" });
    expect(() => tabulate(experiment, evaluation)).toThrow('There is no metric "f2"');
  });
});

describe("the banks", () => {
  const facts: DatedFact[] = (
    [
      ["D1:1", "Ana drives a red car"],
      ["D1:2", "Ben walks two old dogs"],
      ["D1:3", "Ana moves house in May"],
    ] as const
  ).map(([turnId, text]) => ({
    fact: { id: turnId, text, participant: "Ana", sourceTurnIds: [turnId] },
    date: "1 May 2024",
  }));
  const source = (turnId: string) => ({
    actor: "test",
    participant: "Ana",
    date: "1 May 2024",
    sourceTurnIds: [turnId],
  });

  /** ADD the car, overwrite it with the dogs, leave out the move. */
  function overwritten(): PlayedEpisode {
    const bank = createMemoryBank();
    bank.apply({ kind: "ADD", text: "Ana drives a red car" }, source("D1:1"));
    bank.apply({ kind: "UPDATE", id: "0", text: "Ben walks two old dogs" }, source("D1:2"));
    const operations = { ADD: 1, UPDATE: 1, DELETE: 0, NOOP: 0 };
    return { bank, operations, unparsable: 1, rejected: 2, facts };
  }
  const everything: PlayedEpisode = {
    bank: bankOfFacts(facts, "add-everything"),
    operations: { ADD: 3, UPDATE: 0, DELETE: 0, NOOP: 0 },
    unparsable: 0,
    rejected: 0,
    facts,
  };

  it("tell a fact that is gone from one whose source is still named", () => {
    const banks = new Map([
      ["add-everything", new Map([["c1", everything]])],
      ["trained", new Map([["c1", overwritten()]])],
    ] as const);
    const { rows } = tabulate(experimentOf(), { ...evaluation, banks }).banks;
    expect(rows).toEqual([
      {
        split: "test",
        manager: "add-everything",
        facts: 3,
        entries: 3,
        add: 3,
        update: 0,
        delete: 0,
        noop: 0,
        unparsable: 0,
        rejected: 0,
        evidenceMissing: 0,
        evidenceMissingBySource: 0,
      },
      {
        split: "test",
        manager: "trained",
        facts: 3,
        entries: 1,
        add: 1,
        update: 1,
        delete: 0,
        noop: 0,
        unparsable: 1,
        rejected: 2,
        // By its words the bank tells of D1:2 alone; its memory claims to hold D1:1 as well.
        evidenceMissing: expect.closeTo(2 / 3, 12),
        evidenceMissingBySource: expect.closeTo(1 / 3, 12),
      },
    ]);
  });

  it("add up over conversations, weighted by the turns that are cited", () => {
    const elsewhere = { ...questionOf("q4", "x", "D1:1"), conversationId: "c2" };
    const banks = new Map([
      [
        "trained",
        new Map([
          ["c1", overwritten()],
          ["c2", everything],
        ]),
      ],
    ] as const);
    const asked = { validation: [], test: [...questions, elsewhere] };
    const { rows } = tabulate(experimentOf(), { ...evaluation, questions: asked, banks }).banks;
    expect(rows).toMatchObject([
      // Three cited turns of c1, of which two are gone, and one of c2, which is there.
      { facts: 6, entries: 4, add: 4, evidenceMissing: 0.5, evidenceMissingBySource: 0.25 },
    ]);
  });

  it("have no row for a split of which nothing was asked, and no share of no evidence", () => {
    const banks = new Map([["trained", new Map([["c1", everything]])]] as const);
    const asked = { validation: [], test: [questionOf("q1", "x")] };
    const { rows } = tabulate(experimentOf(), { ...evaluation, questions: asked, banks }).banks;
    expect(rows).toMatchObject([{ split: "test", evidenceMissing: undefined }]);
  });
});
