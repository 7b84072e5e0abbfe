import { expect, it } from "vitest";
import { evidenceMissing } from "./evidence.ts";

it("counts each cited turn once: D1:1, D1:2, D2:5 cited, one of three held", () => {
  expect(
    evidenceMissing([["D1:1", "D1:2"], ["D1:1"], ["D2:5"]], ["D1:1", "D9:9", "D1:1"]),
  ).toBeCloseTo(2 / 3, 12);
});

it("is 1 for an empty bank, 0 for a full one, undefined without evidence", () => {
  expect(evidenceMissing([["D1:1"]], [])).toBe(1);
  expect(evidenceMissing([["D1:1"]], ["D1:1"])).toBe(0);
  expect(evidenceMissing([[], []], ["D1:1"])).toBeUndefined();
  expect(evidenceMissing([], [])).toBeUndefined();
});
