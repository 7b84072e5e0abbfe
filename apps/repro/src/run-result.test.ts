import { writeFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { sampleResult } from "./__fixtures__/scripted-shell.ts";
import { useTemporaryFolder } from "./pipeline/__fixtures__/temporary-folder.ts";
import { readRunResult, writeRunResult } from "./run-result.ts";

const pathOf = useTemporaryFolder();

it("is read as it was written, in whichever folder it lies", async () => {
  const sample = sampleResult(pathOf("."), "demo-1");
  const result = { ...sample, detailTables: [{ ...sample.table, title: "By category" }] };
  await writeRunResult(result);
  expect(await readRunResult(pathOf("."))).toEqual(result);
});

it("is read from a run of the time when there was one table", async () => {
  const { table } = sampleResult(pathOf("."), "demo-1");
  const old = { schemaVersion: 1, runId: "demo-1", csvPath: "results.csv", table };
  await writeFile(pathOf("result.json"), JSON.stringify(old));
  expect(await readRunResult(pathOf("."))).toEqual(sampleResult(pathOf("."), "demo-1"));
});
