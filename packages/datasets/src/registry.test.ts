import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { datasets, isDatasetName, type DatasetName } from "./registry.ts";

it("knows names", () => {
  expect(isDatasetName("locomo-mini")).toBe(true);
  expect(isDatasetName("constructor")).toBe(false);
});

it.each([
  "locomo-mini",
  "jsonl-mini",
  "longmemeval-mini",
  "msc-mini",
  "msc-self-instruct-mini",
] as const)(
  "loads the embedded set %s without looking at any folder, under its own name and without a fault",
  async (name: DatasetName) => {
    const options = { cacheDirectory: "/nowhere", dataDirectory: "/nowhere" };
    expect((await datasets[name].load(options)).name).toBe(name);
    expect(await datasets[name].verify(options)).toEqual([]);
  },
);

it("says of LoCoMo where it was looked for", async () => {
  const folder = await mkdtemp(join(tmpdir(), "registry-test-"));
  await expect(datasets.locomo.load({ cacheDirectory: folder, download: false })).rejects.toThrow(
    /LoCoMo \(locomo10\.json\) is not in/,
  );
  await rm(folder, { recursive: true });
});
