import { writeFile } from "node:fs/promises";
import { ConfigError } from "@memory-r1/spec";
import { beforeEach, describe, expect, it } from "vitest";
import { writeCompiledExperiment } from "./__fixtures__/compiled-experiment.ts";
import { useTemporaryFolder } from "./__fixtures__/temporary-folder.ts";
import { tinyExperiment } from "./__fixtures__/tiny-experiment.ts";
import { listExperiments, loadExperiment } from "./list-experiments.ts";

const pathOf = useTemporaryFolder();

/** Compiled experiments, and what else lies beside them. */
beforeEach(async () => {
  const second = { ...tinyExperiment, name: "another", description: "Another one" };
  await writeCompiledExperiment(pathOf("."), "tiny", tinyExperiment);
  await writeCompiledExperiment(pathOf("."), "another", second);
  await writeFile(pathOf("benchmarks", "dist", "tiny.d.ts"), "export {};");
  await writeFile(pathOf("benchmarks", "dist", "tiny.js.map"), "{}");
  await writeFile(pathOf("benchmarks", "dist", "tiny.test.js"), "throw new Error('imported')");
});

describe("listExperiments", () => {
  it("has every compiled experiment once, by name, with its line of description", async () => {
    expect(await listExperiments({ repositoryRoot: pathOf(".") })).toEqual([
      { name: "another", description: "Another one", dataset: tinyExperiment.dataset },
      { name: "tiny", description: "Everything once", dataset: tinyExperiment.dataset },
    ]);
  });

  it("names the file of one that is no experiment", async () => {
    await writeCompiledExperiment(pathOf("."), "wrong", { name: "wrong" });
    await expect(listExperiments({ repositoryRoot: pathOf(".") })).rejects.toThrow("wrong.js");
  });

  it("asks for a build where there is none", async () => {
    const listed = listExperiments({ repositoryRoot: pathOf("nowhere") });
    await expect(listed).rejects.toThrow(ConfigError);
    await expect(listed).rejects.toThrow("pnpm build");
  });
});

describe("loadExperiment", () => {
  it("gives what the file says, unchecked", async () => {
    expect(await loadExperiment(pathOf("."), "tiny")).toEqual(tinyExperiment);
  });

  it("names the experiments there are", async () => {
    await expect(loadExperiment(pathOf("."), "timy")).rejects.toThrow(
      new ConfigError('There is no experiment "timy". Experiments of benchmarks/: another, tiny.'),
    );
  });

  it("refuses a file that exports none", async () => {
    await writeFile(pathOf("benchmarks", "dist", "empty.js"), "export const other = 1;");
    await expect(loadExperiment(pathOf("."), "empty")).rejects.toThrow("at experiment");
  });
});
