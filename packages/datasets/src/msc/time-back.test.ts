import { expect, it } from "vitest";
import { gapHours, parseTimeBack } from "./time-back.ts";

it.each([
  [" 3 hours ago", 3],
  [" 1 hour ago", 1],
  ["1 day ago", 24],
  ["5 days 1 hour ago", 121],
  ["12 days ago", 288],
  ["2 weeks 3 days ago", 408],
])("counts %j in hours", (text, hours) => {
  expect(parseTimeBack(text)).toBe(hours);
});

it.each(["", "ago", "yesterday", "3 hours", "2 months ago", "3hours ago", "3 hours ago!"])(
  "does not count %j",
  (text) => {
    expect(parseTimeBack(text)).toBeUndefined();
  },
);

it("counts gaps, but not those of units without a fixed length", () => {
  expect(gapHours({ time_num: 7, time_unit: "days" })).toBe(168);
  expect(gapHours({ time_num: 1, time_unit: "hour" })).toBe(1);
  expect(gapHours({ time_num: 2, time_unit: "months" })).toBeUndefined();
});
