import { expect, it } from "vitest";
import { parseTurnReferences } from "./turn-references.ts";

const known = new Set(["D1:1", "D1:2", "D2:5", "D11:26"]);

it("keeps well-formed ids in order, without notes", () => {
  expect(parseTurnReferences(["D2:5", "D1:1"], known)).toEqual({
    turnIds: ["D2:5", "D1:1"],
    notes: [],
  });
  expect(parseTurnReferences([], known)).toEqual({ turnIds: [], notes: [] });
});

it("cuts strings with several ids at ; , and spaces", () => {
  for (const text of ["D1:1; D1:2", "D1:1,D1:2", "D1:1 D1:2"]) {
    const references = parseTurnReferences([text], known);
    expect(references.turnIds).toEqual(["D1:1", "D1:2"]);
    expect(references.notes).toEqual([`reference "${text}" read as 2 turns`]);
  }
});

it("repairs zero padding and a colon too many, and says so", () => {
  expect(parseTurnReferences(["D01:02", "D:11:26"], known)).toEqual({
    turnIds: ["D1:2", "D11:26"],
    notes: ['reference "D01:02" read as D1:2', 'reference "D:11:26" read as D11:26'],
  });
});

it("drops what names no turn, and says so", () => {
  expect(parseTurnReferences(["D", "D9:9", "D:9:9", "", "1:1"], known)).toEqual({
    turnIds: [],
    notes: [
      'reference "D" is malformed: dropped',
      'reference "D9:9" names no turn: dropped',
      'reference "D:9:9" names no turn: dropped',
      'reference "" is empty: dropped',
      'reference "1:1" is malformed: dropped',
    ],
  });
});

it("keeps a repeated id once", () => {
  expect(parseTurnReferences(["D1:1", "D1:1"], known)).toEqual({
    turnIds: ["D1:1"],
    notes: ['reference "D1:1" is there twice: kept once'],
  });
});
