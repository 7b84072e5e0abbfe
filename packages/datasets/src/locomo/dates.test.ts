import { expect, it } from "vitest";
import { parseLocomoDate } from "./dates.ts";

it.each([
  ["1:56 pm on 8 May, 2023", "2023-05-08T13:56"],
  ["12:09 am on 13 September, 2023", "2023-09-13T00:09"],
  ["12:30 pm on 1 January, 2022", "2022-01-01T12:30"],
  ["11:59 pm on 29 February, 2024", "2024-02-29T23:59"],
])("reads %s", (text, dateTime) => {
  expect(parseLocomoDate(text)).toBe(dateTime);
});

it.each([
  "",
  "8 May, 2023",
  "13:56 on 8 May, 2023",
  "0:10 am on 8 May, 2023",
  "1:61 pm on 8 May, 2023",
  "1:56 pm on 8 Mai, 2023",
  "1:56 pm on 30 February, 2023",
  "1:56 pm on 8 May, 2023 (UTC)",
])("does not guess at %j", (text) => {
  expect(parseLocomoDate(text)).toBeUndefined();
});
