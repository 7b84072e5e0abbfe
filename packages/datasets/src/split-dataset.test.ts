import { ConfigError, type Dataset } from "@memory-r1/spec";
import { expect, it } from "vitest";
import { splitDataset, wholeAsTest } from "./split-dataset.ts";

const empty: Dataset = {
  name: "mine",
  sha256: "",
  conversations: [],
  questions: [],
  splits: {},
  notes: [],
};

it("refuses a data set without a split, and one that lacks a conversation of it", () => {
  expect(() => splitDataset(empty)).toThrow(ConfigError);
  expect(() => splitDataset(empty, "memory-r1")).toThrow(/mine has no split/);
  const lacking: Dataset = {
    ...empty,
    splits: { usual: { train: ["one"], validation: [], test: [] } },
  };
  expect(() => splitDataset(lacking)).toThrow(
    /mine has no conversation one, which its split usual/,
  );
  expect(() => splitDataset(lacking, "constructor")).toThrow(/Splits: usual/);
});

it("takes the first split where none is named", () => {
  const none = { train: [], validation: [], test: [] };
  const dataset: Dataset = {
    ...empty,
    conversations: [{ id: "one", participants: [], sessions: [] }],
    splits: { usual: { ...none, test: ["one"] }, other: none },
  };
  expect(splitDataset(dataset).test.conversations).toHaveLength(1);
  expect(splitDataset(dataset, "other").test.conversations).toEqual([]);
});

it("can take all conversations as the test part, without a split", () => {
  const dataset: Dataset = {
    ...empty,
    conversations: ["one", "two"].map((id) => ({ id, participants: [], sessions: [] })),
  };
  const { train, validation, test } = wholeAsTest(dataset);
  expect(test.conversations).toEqual(dataset.conversations);
  expect([...train.conversations, ...validation.conversations]).toEqual([]);
});
