import { ConfigError, type Dataset } from "@memory-r1/spec";
import { expect, it } from "vitest";
import { splitDataset } from "./split-dataset.ts";

const empty: Dataset = {
  name: "locomo-mini",
  sha256: "",
  conversations: [],
  questions: [],
  notes: [],
};

it("refuses a data set without a split, and one that lacks a conversation of it", () => {
  expect(() => splitDataset({ ...empty, name: "other" }, "memory-r1")).toThrow(ConfigError);
  expect(() => splitDataset({ ...empty, name: "other" }, "memory-r1")).toThrow(
    /Known data sets: locomo, locomo-mini/,
  );
  expect(() => splitDataset(empty, "memory-r1")).toThrow(/locomo-mini has no conversation mini-1/);
});
