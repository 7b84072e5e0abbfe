import { bankOfFacts, createMemoryBank, type DatedFact } from "@memory-r1/core";
import { describe, expect, it } from "vitest";
import { evaluation, questionOf, questions } from "./__fixtures__/small-evaluation.ts";
import { bankTable } from "./bank-table.ts";
import type { PlayedEpisode } from "./play-episodes.ts";

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
    const { rows } = bankTable({ ...evaluation, banks });
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
    const asked = { validation: [], adversarial: [], test: [...questions, elsewhere] };
    const { rows } = bankTable({ ...evaluation, questions: asked, banks });
    expect(rows).toMatchObject([
      // Three cited turns of c1, of which two are gone, and one of c2, which is there.
      { facts: 6, entries: 4, add: 4, evidenceMissing: 0.5, evidenceMissingBySource: 0.25 },
    ]);
  });

  it("have no row for a split of which nothing was asked, and no share of no evidence", () => {
    const banks = new Map([["trained", new Map([["c1", everything]])]] as const);
    const asked = { validation: [], adversarial: [], test: [questionOf("q1", "x")] };
    const { rows } = bankTable({ ...evaluation, questions: asked, banks });
    expect(rows).toMatchObject([{ split: "test", evidenceMissing: undefined }]);
  });
});
