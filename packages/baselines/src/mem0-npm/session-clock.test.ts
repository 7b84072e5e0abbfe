import { describe, expect, it } from "vitest";
import { createSessionClock, startOf } from "./session-clock.ts";

const session = { id: "s", dateText: "3 May 2024" };
const iso = (milliseconds: number): string => new Date(milliseconds).toISOString();

describe("when a session begins", () => {
  it.each([
    [{ ...session, dateTime: "2024-05-03T14:10" }, "2024-05-03T14:10:00.000Z"],
    [{ ...session, dateText: "2024-05-03" }, "2024-05-03T00:00:00.000Z"],
    [
      { ...session, dateText: "2024-05-03", dateTime: "2024-05-03T23:59" },
      "2024-05-03T23:59:00.000Z",
    ],
  ])("%j is %s", (told, expected) => {
    expect(iso(startOf(told) ?? Number.NaN)).toBe(expected);
  });

  it.each(["3 May 2024", "day 5", "2024-05", "2024-05-32", ""])(
    "is not known from %j",
    (dateText) => {
      expect(startOf({ id: "s", dateText })).toBeUndefined();
    },
  );
});

describe("the clock of the package", () => {
  const at = (text: string): number => Date.parse(`${text}Z`);

  it("stands at the session's time and goes on by a millisecond", () => {
    const clock = createSessionClock();
    const [may, june] = [at("2024-05-03T14:10"), at("2024-06-01T09:00")];
    expect([may, may, may, june, june].map((start) => iso(clock.next(start)))).toEqual([
      "2024-05-03T14:10:00.000Z",
      "2024-05-03T14:10:00.001Z",
      "2024-05-03T14:10:00.002Z",
      "2024-06-01T09:00:00.000Z",
      "2024-06-01T09:00:00.001Z",
    ]);
  });

  it("keeps the order of two sessions of one time, and the day of one that comes out of order", () => {
    const clock = createSessionClock();
    const [noon, morning, before] = ["03T12:00", "03T09:00", "02T12:00"].map((text) =>
      at(`2024-05-${text}`),
    );
    expect([noon, noon, morning, before].map((start) => iso(clock.next(start)))).toEqual([
      "2024-05-03T12:00:00.000Z",
      "2024-05-03T12:00:00.001Z",
      "2024-05-03T12:00:00.002Z",
      "2024-05-02T12:00:00.000Z",
    ]);
  });

  it("goes on from where it is where no time is known", () => {
    const clock = createSessionClock();
    expect([clock.next(undefined), clock.next(500), clock.next(undefined)]).toEqual([1, 500, 501]);
  });
});
