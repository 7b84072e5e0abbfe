import { expect, it } from "vitest";
import { parseLongMemEvalDate } from "./dates.ts";

// Weekdays by `date -d 2023-05-30 +%a`.
it.each([
  ["2023/05/30 (Tue) 21:56", "2023-05-30T21:56"],
  ["2023/01/01 (Sun) 00:00", "2023-01-01T00:00"],
  ["2024/02/29 (Thu) 23:59", "2024-02-29T23:59"],
  ["2022/12/31 (Sat) 09:05", "2022-12-31T09:05"],
])("reads %s", (text, dateTime) => {
  expect(parseLongMemEvalDate(text)).toEqual({ dateTime });
});

it("says which weekday it really was", () => {
  expect(parseLongMemEvalDate("2023/05/30 (Wed) 21:56")).toEqual({
    dateTime: "2023-05-30T21:56",
    actualWeekday: "Tue",
  });
});

it.each([
  "2023/02/29 (Wed) 10:00",
  "2023/04/31 (Mon) 10:00",
  "2023/13/01 (Mon) 10:00",
  "2023/00/10 (Mon) 10:00",
  "2023/05/00 (Mon) 10:00",
  "2023/05/30 (Tue) 24:00",
  "2023/05/30 (Tue) 10:60",
  "2023/05/30 (Die) 10:00",
  "2023-05-30 (Tue) 10:00",
  "2023/5/30 (Tue) 10:00",
  "2023/05/30 10:00",
  "2023/05/30 (Tue) 10:00 ",
  "0023/05/30 (Tue) 10:00",
  "",
])("takes %j for no date", (text) => {
  expect(parseLongMemEvalDate(text)).toBeUndefined();
});
