import { ConfigError } from "@memory-r1/spec";
import { describe, expect, it } from "vitest";
import { createDateReader, readIsoDateTime } from "./entry-dates.ts";
import { createRecencyRetriever } from "./recency-retriever.ts";
import { createMatchingRetriever, type Retrievable } from "./retriever.ts";
import { filterByTime } from "./time-filter.ts";

describe("dates of entries", () => {
  it.each([
    ["2023-05-08", "2023-05-08T00:00"],
    [" 2024-02-29T13:56 ", "2024-02-29T13:56"],
    ["2023-02-29", undefined],
    ["2023-13-01", undefined],
    ["2023-05-08T24:00", undefined],
    ["2023-05-08T13:56Z", undefined],
    ["May 2023", undefined],
    ["", undefined],
  ])("reads %j as %j", (text, expected) => {
    expect(readIsoDateTime(text)).toBe(expected);
  });

  it("knows what the sessions say, and nothing that they contradict", () => {
    const read = createDateReader([
      { dateText: "eight in May", dateTime: "2023-05-08T08:00" },
      { dateText: "eight in May", dateTime: "2023-05-08T08:00" },
      { dateText: "noon", dateTime: "2023-01-01T12:00" },
      { dateText: "noon", dateTime: "2023-01-02T12:00" },
      { dateText: "noon", dateTime: "2023-01-01T12:00" },
      { dateText: "some day" },
    ]);
    expect(read("eight in May")).toBe("2023-05-08T08:00");
    expect(read("noon")).toBeUndefined();
    expect(read("some day")).toBeUndefined();
    expect(read("2023-03-04")).toBe("2023-03-04T00:00");
  });
});

describe("filterByTime", () => {
  const items: readonly Retrievable[] = [
    { text: "old", updatedAt: "2023-05-07T23:59" },
    { text: "edge", updatedAt: "2023-05-08" },
    { text: "turn", date: "2023-06-01T10:00" },
    { text: "vague", updatedAt: "last week" },
    { text: "bare" },
  ];
  const texts = (filter: Parameters<typeof filterByTime>[1]): readonly string[] =>
    filterByTime(items, filter).map(({ text }) => text);

  it("takes from its first moment, and up to before its last; undated ones are kept", () => {
    expect(texts({ from: "2023-05-08" })).toEqual(["edge", "turn", "vague", "bare"]);
    expect(texts({ before: "2023-05-08" })).toEqual(["old", "vague", "bare"]);
    expect(texts({ from: "2023-05-08", before: "2023-06-01T10:00" })).toEqual([
      "edge",
      "vague",
      "bare",
    ]);
    expect(texts({})).toEqual(["old", "edge", "turn", "vague", "bare"]);
  });

  it("drops undated ones where told, and reads dates as told", () => {
    expect(texts({ from: "2023-05-08", undated: "drop" })).toEqual(["edge", "turn"]);
    const read = createDateReader([{ dateText: "last week", dateTime: "2023-04-01T00:00" }]);
    const found = filterByTime(items, { before: "2023-05-01", undated: "drop" }, read);
    expect(found.map(({ text }) => text)).toEqual(["vague"]);
  });

  it("refuses a bound that is no date, and a span the wrong way round", () => {
    expect(() => texts({ from: "May" })).toThrow('"from" is "May". Write a day such as 2023-05-08');
    expect(() => texts({ before: "2023-02-30" })).toThrow(ConfigError);
    expect(() => texts({ from: "2024-01-01", before: "2023-01-01" })).toThrow("Swap the two");
  });
});

describe("recency", () => {
  /** Scores 0.9, 0.5, 0.1 for the first three items. */
  const relevance = createMatchingRetriever("fixed", (_, __, count) =>
    Promise.resolve(
      [0.9, 0.5, 0.1].map((score, position) => ({ position, score })).slice(0, count),
    ),
  );
  const dated = (...dates: readonly string[]): readonly Retrievable[] =>
    dates.map((updatedAt, index) => ({ text: String(index), updatedAt }));

  it("equals the values computed by hand", async () => {
    // Scaled relevance 1, 0.5, 0. Ages 60, 30 and 0 days at a half-life of 30: 0.25, 0.5, 1, each halved by the weight.
    const matches = await createRecencyRetriever(relevance).match(
      "q",
      dated("2023-01-01", "2023-01-31", "2023-03-02"),
      3,
    );
    expect(matches.map(({ position }) => position)).toEqual([0, 1, 2]);
    expect(matches[0]?.score).toBeCloseTo(1.125, 12);
    expect(matches[1]?.score).toBeCloseTo(0.75, 12);
    expect(matches[2]?.score).toBeCloseTo(0.5, 12);
  });

  it("turns the order where the weight is large and the half-life short", async () => {
    const recent = createRecencyRetriever(relevance, { weight: 2, halfLifeDays: 1 });
    const ranked = await recent.rank("q", dated("2023-01-01", "2023-01-02", "2023-01-03"), 3);
    // 1 + 0.5, 0.5 + 1, 0 + 2; the tie keeps the order of relevance.
    expect(ranked.map(({ text }) => text)).toEqual(["2", "0", "1"]);
  });

  it("gives an entry without a known date nothing for it", async () => {
    const matches = await createRecencyRetriever(relevance, { weight: 1 }).match(
      "q",
      dated("some day", "2023-01-01", "2023-01-01"),
      3,
    );
    // 1 + 0, 0.5 + 1, 0 + 1.
    expect(matches).toEqual([
      { position: 1, score: 1.5 },
      { position: 0, score: 1 },
      { position: 2, score: 1 },
    ]);
  });

  it("is relevance alone without any date, without a weight, and for one match", async () => {
    const order = async (items: readonly Retrievable[], weight: number) =>
      (await createRecencyRetriever(relevance, { weight }).rank("q", items, 3)).map(
        ({ text }) => text,
      );
    expect(await order(dated("a", "b", "c"), 5)).toEqual(["0", "1", "2"]);
    expect(await order(dated("2020-01-01", "2021-01-01", "2022-01-01"), 0)).toEqual([
      "0",
      "1",
      "2",
    ]);
    const one = createRecencyRetriever(relevance, { depth: 1 });
    expect(await one.match("q", dated("2020-01-01"), 1)).toEqual([{ position: 0, score: 1.5 }]);
  });

  it.each([{ halfLifeDays: 0 }, { weight: -1 }, { depth: 0 }, { weight: Infinity }])(
    "refuses %o",
    (options) => {
      expect(() => createRecencyRetriever(relevance, options)).toThrow(ConfigError);
    },
  );
});
