import { createRandom } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { changeDetails } from "./changed-details.ts";

const change = (
  text: string,
  more: { question?: string; names?: readonly string[]; seed?: number } = {},
) =>
  changeDetails(text, {
    question: more.question ?? "?",
    names: more.names ?? [],
    random: createRandom(more.seed ?? 1),
  });

/** The number that stands in `text` for `{}` of the pattern. */
function numberIn(text: string | undefined, pattern: string): number {
  const [before = "", after = ""] = pattern.split("{}");
  if (text === undefined || !text.startsWith(before) || !text.endsWith(after))
    throw new Error(`${text} is not ${pattern}`);
  return Number(text.slice(before.length, text.length - after.length));
}

const seeds = Array.from({ length: 40 }, (_, index) => index);

describe("changeDetails", () => {
  it("changes one detail at a time, in the order of the text", () => {
    const changed = change("7 May 2023");
    expect(changed).toHaveLength(3);
    expect(changed[0]).toMatch(/^\d+ May 2023$/);
    expect(changed[1]).toMatch(/^7 [A-Z][a-z]+ 2023$/);
    expect(changed[2]).toMatch(/^7 May \d{4}$/);
  });

  it("keeps a day a day and moves every number by at least three", () => {
    for (const seed of seeds) {
      const [dayChanged, , yearChanged] = change("31 May 2023", { seed });
      const day = numberIn(dayChanged, "{} May 2023");
      expect(day).toBeGreaterThanOrEqual(1);
      expect(day).toBeLessThanOrEqual(28);
      const year = numberIn(yearChanged, "31 May {}");
      expect(Math.abs(year - 2023)).toBeGreaterThanOrEqual(3);
      expect(Math.abs(year - 2023)).toBeLessThanOrEqual(9);
      expect(numberIn(change("3 times", { seed })[0], "{} times")).toBeGreaterThanOrEqual(6);
    }
    for (let day = 1; day <= 31; day++) {
      const moved = numberIn(change(`${day} June`)[0], "{} June");
      expect(Math.abs(moved - day)).toBeGreaterThanOrEqual(3);
    }
  });

  it("keeps ordinals and leading zeros in form", () => {
    for (const seed of seeds) {
      expect(change("May 2nd", { seed })[1]).toMatch(
        /^May (?:[789]th|1\dth|20th|21st|22nd|23rd|2[4-8]th)$/,
      );
      expect(change("room 007", { seed })[0]).toMatch(/^room 0\d\d$/);
    }
  });

  it("changes weekdays, number words and names as whole words, first letter alike", () => {
    expect(change("Tuesday")[0]).toMatch(/^(?:Mon|Wednes|Thurs|Fri|Satur|Sun)day$/);
    expect(change("Two dogs")[0]).toMatch(/^[A-Z][a-z]+ dogs$/);
    expect(change("Two dogs")[0]).not.toMatch(/^(?:Two|Three|Four) /);
    expect(change("Ana's bakery", { names: ["Ana", "Ben"] })).toEqual(["Ben's bakery"]);
    expect(change("Anastasia", { names: ["Ana", "Ben"] })).toEqual([]);
    expect(change("Zoë (B.)", { names: ["Zoë", "B."] })).toContain("B. (B.)");
  });

  it.each([
    "PS5",
    "at 7:30",
    "1,000 euros",
    "2.5 km",
    "may be",
    "May I",
    "one of them",
    "march on",
  ])("finds nothing to change in %j", (text) => expect(change(text)).toEqual([]));

  it("knows a May beside a number or alone for a month", () => {
    expect(change("May")).toHaveLength(1);
    expect(change("May 2023")).toHaveLength(2);
  });

  it("leaves what the question mentions", () => {
    const question = "What did Ana do in May 2023?";
    expect(change("In May 2023 Ana ran 10 km", { question, names: ["Ana", "Ben"] })).toHaveLength(
      1,
    );
  });
});
