import { describe, expect, it } from "vitest";
import {
  computeEvidencePrecision,
  computeEvidenceRecall,
  computeLocomoRecall,
  computeLongmemevalNdcg,
  computeLongmemevalRetrieval,
  computeLongmemevalTurnToSession,
} from "./retrieval.ts";

describe("evidence recall and precision", () => {
  const memories = [["D1:1", "D1:2"], ["D4:4"], ["D1:2"]];

  it("count an evidence turn once however many memories hold it: 1 of 2; 2 of 3 memories", () => {
    expect(computeEvidenceRecall(memories, ["D1:2", "D9:9", "D1:2"])).toBe(0.5);
    expect(computeEvidencePrecision(memories, ["D1:2", "D9:9"])).toBeCloseTo(2 / 3, 12);
  });

  it("take plain ids as well", () => {
    expect(computeEvidenceRecall(["D1:1", "D1:2"], ["D1:2"])).toBe(1);
    expect(computeEvidencePrecision(["D1:1", "D1:2"], ["D1:2"])).toBe(0.5);
  });

  it("have no value without evidence; nothing retrieved has a recall of 0 and no precision", () => {
    expect(computeEvidenceRecall(memories, [])).toBeUndefined();
    expect(computeEvidencePrecision(memories, [])).toBeUndefined();
    expect(computeEvidenceRecall([], ["D1:1"])).toBe(0);
    expect(computeEvidencePrecision([], ["D1:1"])).toBeUndefined();
  });
});

describe("computeLocomoRecall", () => {
  it("counts an id as often as the evidence list has it: 2 of 3", () => {
    expect(computeLocomoRecall(["D1:1"], ["D1:1", "D1:1", "D2:2"])).toBeCloseTo(2 / 3, 12);
  });

  it("compares session numbers where sessions were retrieved: D12 and not D1", () => {
    expect(computeLocomoRecall(["S12", "S3"], ["D1:3", "D12:4"])).toBe(0.5);
  });

  it("does not find a malformed id, and has no value without evidence", () => {
    expect(computeLocomoRecall(["D1:1", "D2:2"], ["D1:1; D2:2"])).toBe(0);
    expect(computeLocomoRecall([], ["D1:1"])).toBe(0);
    expect(computeLocomoRecall(["D1:1"], [])).toBeUndefined();
  });
});

describe("LongMemEval", () => {
  const corpusIds = ["s1", "s2", "answer_1", "s4", "answer_2"];
  const evidenceIds = ["answer_1", "answer_2"];

  it("discounts from rank 3 on: ranks 1 and 3 of ideal 1 and 2: (1 + 1/log2(3)) / 2", () => {
    const rankedIds = ["answer_1", "s1", "answer_2", "s2", "s4"];
    expect(computeLongmemevalRetrieval({ rankedIds, evidenceIds, corpusIds, k: 3 })).toEqual({
      recallAny: 1,
      recallAll: 1,
      ndcg: (1 + 1 / Math.log2(3)) / 2,
    });
    expect(computeLongmemevalRetrieval({ rankedIds, evidenceIds, corpusIds, k: 1 })).toEqual({
      recallAny: 1,
      recallAll: 0,
      ndcg: 1,
    });
  });

  it("gives rank 2 as much as rank 1, where the usual ndcg would not", () => {
    const rankedIds = ["s1", "answer_1"];
    expect(
      computeLongmemevalRetrieval({ rankedIds, evidenceIds: ["answer_1"], corpusIds, k: 2 }).ndcg,
    ).toBe(1);
  });

  it("without evidence gives 0, 1 and 0, as its script", () => {
    expect(
      computeLongmemevalRetrieval({ rankedIds: corpusIds, evidenceIds: [], corpusIds, k: 3 }),
    ).toEqual({ recallAny: 0, recallAll: 1, ndcg: 0 });
  });

  it("grows a ranking of turns to k sessions: a, a, b for k = 2", () => {
    const turns = ["a_1", "a_2", "b_1", "c_1"];
    const ranking = { rankedIds: turns, corpusIds: turns, evidenceIds: ["b_1"] };
    // Relevance 0, 0, 1: 1/log2(3) of 1.
    expect(computeLongmemevalTurnToSession({ ...ranking, k: 2 })).toEqual({
      recallAny: 1,
      recallAll: 1,
      ndcg: 1 / Math.log2(3),
    });
    expect(computeLongmemevalTurnToSession({ ...ranking, k: 1 }).recallAny).toBe(0);
    // More sessions than there are: the corpus ends first.
    expect(computeLongmemevalTurnToSession({ ...ranking, k: 9 }).recallAny).toBe(1);
  });

  it("ndcg of memories counts evidence at its first memory only", () => {
    const memories = [["D1:1"], ["D1:1"], ["D2:2", "D1:1"]];
    // Relevance 1, 0, 1 of ideal 1, 1: (1 + 1/log2(3)) / 2.
    expect(computeLongmemevalNdcg(memories, ["D1:1", "D2:2"])).toBeCloseTo(
      (1 + 1 / Math.log2(3)) / 2,
      12,
    );
    expect(computeLongmemevalNdcg([["D1:1", "D2:2"]], ["D1:1", "D2:2"])).toBe(0.5);
    expect(computeLongmemevalNdcg([], ["D1:1"])).toBe(0);
    expect(computeLongmemevalNdcg(memories, [])).toBeUndefined();
  });
});
