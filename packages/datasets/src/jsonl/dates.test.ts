import { expect, it } from "vitest";
import { parseOwnDate } from "./dates.ts";

it.each([
  ["2024-05-01T18:30", "2024-05-01T18:30"],
  ["2024-05-01 18:30", "2024-05-01T18:30"],
  ["2024-02-29T00:00:59", "2024-02-29T00:00"],
])("reads %s", (text, dateTime) => {
  expect(parseOwnDate(text)).toEqual({ status: "read", dateTime });
});

it.each(["2024-05-01", "the first Sunday of May", "1 May 2024", "May 2024", "2024"])(
  "invents no time for %j",
  (text) => {
    expect(parseOwnDate(text)).toEqual({ status: "read" });
  },
);

it.each([
  ["2024-04-31", "names no real day or time"],
  ["2023-02-29T10:00", "names no real day or time"],
  ["2024-13-01", "names no real day or time"],
  ["2024-05-01T24:00", "names no real day or time"],
  ["2024-05-01T10:60", "names no real day or time"],
  ["2024-5-1", "is no date"],
  ["2024-05", "is no date"],
  ["2024-05-01T18", "is no date"],
  ["2024-05-01, evening", "is no date"],
  ["2024-05-01T18:30Z", 'has "Z" after the time'],
  ["2024-05-01T18:30:00.000Z", 'has ".000Z" after the time'],
  ["2024-05-01T18:30+02:00", 'has "+02:00" after the time'],
])("refuses %s", (text, problem) => {
  expect(parseOwnDate(text)).toMatchObject({ status: "faulty", problem });
});
