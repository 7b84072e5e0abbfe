import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { datasets, isDatasetName, type DatasetName } from "./registry.ts";

it("knows names", () => {
  expect(Object.keys(datasets)).toEqual(["locomo", "locomo-mini"]);
  expect(isDatasetName("locomo-mini")).toBe(true);
  expect(isDatasetName("constructor")).toBe(false);
});

it("loads the mini set without looking at any folder, under its own name", async () => {
  const name: DatasetName = "locomo-mini";
  const dataset = await datasets[name].load();
  expect(dataset.name).toBe("locomo-mini");
});

it("says of LoCoMo where it was looked for", async () => {
  const folder = await mkdtemp(join(tmpdir(), "registry-test-"));
  await expect(datasets.locomo.load({ cacheDirectory: folder, download: false })).rejects.toThrow(
    /LoCoMo is not in/,
  );
  await rm(folder, { recursive: true });
});
